import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dashboards.elements import graphs_in
from dashboards.figures.training_curves import MOST_POINTS, behaviour_figure, loss_figure
from dashboards.frame import TrainingRun
from dashboards.markup import to_html
from dashboards.page import report_page
from dashboards.pages.training import training_html, training_section, write_training_page


def make_run(name, *, steps=100, validated=True):
    rows = []
    for step in range(1, steps + 1):
        tokens = 512 * step
        loss = 3.0 + 3.0 / step
        rows.append(
            {
                "step": step,
                "tokens": tokens,
                "loss": loss,
                "learning_rate": 1e-3 * step / steps,
                "gradient_norm": 0.5,
                "weight_norm": 10.0,
                "tokens_per_s": 9000.0,
                "mfu": None,
                "seconds": tokens / 9000,
            }
        )
        if validated and step % 20 == 0:
            rows.append(
                {
                    "step": step,
                    "tokens": tokens,
                    "validation_loss": loss + 0.1,
                    "perplexity": float(np.exp(loss + 0.1)),
                    "bits_per_byte": loss,
                    "seconds": tokens / 9000,
                }
            )
    return TrainingRun(
        name=name,
        events=pd.DataFrame(rows),
        state="finished",
        model="d f m2 f",
        num_parameters=1_000_000,
        planned_tokens=512 * steps,
        device="a CPU",
    )


def empty_run(name):
    return replace(make_run(name), events=pd.DataFrame({"step": [], "tokens": []}), state="interrupted")


@pytest.fixture(scope="module")
def runs():
    return (make_run("trial-1"), make_run("trial-2", validated=False))


def test_every_run_has_its_validation_and_training_loss_in_one_picture(runs):
    traces = loss_figure(runs).data
    assert [(trace.name, trace.mode) for trace in traces] == [
        ("trial-1", "lines"),
        ("trial-1", "lines+markers"),
        ("trial-2", "lines"),
    ]
    assert list(traces[1].y) == pytest.approx([3.0 + 3.0 / step + 0.1 for step in (20, 40, 60, 80, 100)])


def test_every_run_is_in_each_legend_once(runs):
    for figure in (loss_figure(runs), behaviour_figure(runs)):
        assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["trial-1", "trial-2"]


def test_runs_differ_without_colour(runs):
    dashes = {trace.name: trace.line.dash for trace in behaviour_figure(runs).data}
    assert len(set(dashes.values())) == 2


def test_a_long_log_is_drawn_as_means_that_end_where_they_are_known():
    long = make_run("long", steps=4 * MOST_POINTS, validated=False)
    (trace,) = loss_figure([long]).data
    assert len(trace.x) == MOST_POINTS
    assert trace.x[0] == 4 * 512
    assert trace.y[0] == pytest.approx(np.mean([3.0 + 3.0 / step for step in (1, 2, 3, 4)]))


def test_tokens_may_be_shown_logarithmically_with_round_labels(runs):
    (menu,) = behaviour_figure(runs).layout.updatemenus
    linear, logarithmic = (button.args[0] for button in menu.buttons)
    for axis in ("xaxis", "xaxis2", "xaxis3", "xaxis4"):
        assert (linear[f"{axis}.type"], logarithmic[f"{axis}.type"]) == ("linear", "log")
    assert "10k" in logarithmic["xaxis.ticktext"]


def test_axes_say_which_way_is_better(runs):
    assert "lower is better" in loss_figure(runs).layout.yaxis.title.text
    assert any("higher is better" in note.text for note in behaviour_figure(runs).layout.annotations)


def test_a_training_that_has_logged_nothing_is_named_and_draws_nothing(runs):
    alone = training_html([empty_run("new")])
    assert "Nothing was logged yet." in alone
    beside = loss_figure([*runs, empty_run("new")])
    assert "new" in {trace.name for trace in beside.data}


def test_the_page_is_offline_escaped_and_states_the_last_validation(runs, tmp_path):
    text = training_html([make_run("<b>evil</b>"), *runs])
    assert "default-src 'none'" in text
    assert '"showSendToCloud":false' in text
    assert "<b>evil" not in text
    assert "3.130" in text
    write_training_page(runs, tmp_path / "deep" / "page.html")
    assert (tmp_path / "deep" / "page.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_hover_texts_cannot_become_markup():
    (trace, *_) = loss_figure([make_run("<img src=x>")]).data
    assert "<img" not in json.dumps(trace.hovertemplate)


def test_a_report_has_the_section_where_candidates_were_trained(results, runs):
    assert 'id="training"' not in to_html(report_page(results))
    trained = report_page(replace(results, trainings=runs))
    assert 'href="#training"' in to_html(trained)
    names = [graph.name for graph in graphs_in([trained])]
    assert {"training-loss", "training-behaviour"} <= set(names)


def test_the_section_names_every_training(runs):
    text = to_html(training_section(runs))
    assert "trial-1" in text
    assert "trial-2" in text
