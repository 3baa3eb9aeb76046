import xml.etree.ElementTree as ElementTree

import pandas as pd

from dashboards.frame import PERPLEXITY, Results, empty_frame
from nas.export.frontier_picture import frontier_svg

SVG = "{http://www.w3.org/2000/svg}"
TRIALS = [(0, 20.0, 5.0, True), (1, 30.0, 5.5, False), (2, 10.0, 9.0, True), (3, None, 4.0, False)]


def results(trials=TRIALS, **changes):
    rows = [
        {
            "number": number,
            "status": "failed" if perplexity is None else "finished",
            "origin": "random",
            "perplexity": perplexity,
            "latency_ms": latency,
            "is_frontier": is_frontier,
        }
        for number, perplexity, latency, is_frontier in trials
    ]
    frame = pd.concat([empty_frame().astype(object), pd.DataFrame(rows, dtype=object)], ignore_index=True)
    return Results(title="a < b", trials=frame, planned_evaluations=4, state="finished", **changes)


def circles(text, name):
    root = ElementTree.fromstring(text)
    return [(float(x.get("cx")), float(x.get("cy"))) for x in root.findall(f"{SVG}circle") if x.get("class") == name]


def test_every_finished_trial_is_a_point_and_one_is_ringed():
    text = frontier_svg(results(), highlighted=2)
    assert len(circles(text, "trial")) == 1
    members = circles(text, "frontier")
    assert len(members) == 2
    (fast, slow) = sorted(members)
    assert fast[1] < slow[1], "the faster one has the higher perplexity, which is drawn further up"
    assert circles(text, "this") == [slow]
    assert "a &lt; b: 3 trials, 2 on the frontier" in text
    assert "this model, trial 2" in text
    assert "Latency (ms)" in text
    assert "<script" not in text


def test_one_trial_alone_and_equal_values_are_drawn():
    text = frontier_svg(results([(0, 20.0, 5.0, True), (1, 20.0, 5.0, True)]))
    assert len(circles(text, "frontier")) == 2
    assert circles(text, "this") == []


def test_nothing_is_drawn_of_one_objective_or_of_no_finished_trial():
    assert frontier_svg(results([(0, None, 5.0, False)])) is None
    assert frontier_svg(results(objectives=(PERPLEXITY,))) is None


def test_the_frontier_lies_on_top_of_other_trials_and_the_ring_on_top_of_it():
    root = ElementTree.fromstring(frontier_svg(results(), highlighted=0))
    assert [x.get("class") for x in root.findall(f"{SVG}circle")] == ["trial", "frontier", "frontier", "this"]


def test_one_bad_model_does_not_squeeze_the_others_into_a_line():
    text = frontier_svg(results([(0, 20.0, 5.0, True), (1, 10.0, 8.0, True), (2, 30.0, 900.0, False)]))
    (_, worse), (_, better) = sorted(circles(text, "frontier"))
    assert better - worse > 20
    assert ">500</text>" in text
