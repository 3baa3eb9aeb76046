import base64
import dataclasses

import numpy as np

from dashboards.analysis.picking import candidates_to_pick, pick
from dashboards.figures import picked as picked_module
from dashboards.figures.picked import packed, picked_figure


def drawn(results, brush=None, *, chosen=None):
    candidates = candidates_to_pick(results)
    return candidates, picked_figure(candidates, pick(candidates, brush or {}), results, chosen=chosen)


def unpacked(text):
    return np.frombuffer(base64.b64decode(text["bdata"]), dtype=f"<{text['dtype']}")


def test_every_candidate_is_a_mark_with_its_number(results):
    candidates, figure = drawn(results)
    numbers = [number for trace in figure.data for number in trace.customdata]
    assert numbers == candidates.rows["number"].tolist()
    assert all(trace.selectedpoints is None for trace in figure.data)


def test_a_brush_selects_its_candidates(results):
    candidates, figure = drawn(results, {"depth": (10, 20)})
    selected = {trace.customdata[place] for trace in figure.data for place in trace.selectedpoints}
    rows = candidates.rows
    assert selected == set(rows["number"][rows["depth"].between(10, 20)])


def test_a_brush_that_leaves_nothing_fades_all(results):
    _, figure = drawn(results, {"depth": (1000, 2000)})
    assert [tuple(trace.selectedpoints) for trace in figure.data] == [(), ()]


def test_the_browser_gets_every_column_in_the_order_of_the_marks(results):
    candidates, figure = drawn(results)
    meta = figure.layout.meta
    assert unpacked(meta["numbers"]).tolist() == candidates.rows["number"].tolist()
    for axis in candidates.axes:
        np.testing.assert_allclose(unpacked(meta["columns"][axis.name]), axis.values, rtol=1e-6)
    assert meta["num_ordinary"] == (~candidates.is_frontier).sum()


def test_numbers_are_packed_into_the_smallest_type_that_holds_them():
    whole = [packed(np.array([0.0, top]), is_whole=True)["dtype"] for top in (255, 256, 70_000, 1e12)]
    assert whole == ["u1", "u2", "u4", "f4"]
    assert packed(np.array([1.0, np.nan]), is_whole=True)["dtype"] == "f4"
    assert packed(np.array([1.5]), is_whole=False)["dtype"] == "f4"


def test_a_crowd_is_drawn_by_webgl(results, monkeypatch):
    monkeypatch.setattr(picked_module, "CROWD", 10)
    assert {trace.type for trace in drawn(results)[1].data} == {"scattergl"}


def test_the_chosen_candidate_has_a_ring(results):
    number = int(candidates_to_pick(results).rows["number"].iloc[0])
    _, figure = drawn(results, chosen=number)
    assert (figure.data[-1].name, list(figure.data[-1].customdata)) == (f"#{number}", [number])


def test_one_objective_is_drawn_over_the_order_of_finishing(results):
    candidates, figure = drawn(dataclasses.replace(results, objectives=results.objectives[:1]))
    assert figure.layout.xaxis.title.text == "Order of finishing"
    assert sum(len(trace.x) for trace in figure.data) == len(candidates.rows)


def test_nothing_finished_is_said(empty_results):
    _, figure = drawn(empty_results)
    assert "No candidate" in figure.layout.annotations[0].text
