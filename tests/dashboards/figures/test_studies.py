import dataclasses

from dashboards.analysis.selection import evaluated, frontier
from dashboards.figures.studies import studies_figure
from dashboards.frame import LATENCY_MS, PERPLEXITY


def test_every_study_has_its_frontier_in_a_look_of_its_own(results):
    figure = studies_figure({"a": results, "<b>": dataclasses.replace(results, title="other")})
    assert [trace.name for trace in figure.data] == ["a", "&lt;b&gt;"]
    assert figure.data[0].x.tolist() == [float(value) for value in frontier(results)["latency_ms"].astype("float32")]
    assert figure.data[0].line.dash != figure.data[1].line.dash
    assert figure.data[0].marker.symbol != figure.data[1].marker.symbol


def test_only_marks_of_the_study_in_front_can_be_pressed(results):
    figure = studies_figure({"a": results, "b": dataclasses.replace(results)})
    assert list(figure.data[0].customdata) == frontier(results)["number"].tolist()
    assert figure.data[1].customdata is None


def test_a_study_without_these_objectives_is_left_out(results):
    other = dataclasses.replace(results, objectives=(LATENCY_MS,))
    assert [trace.name for trace in studies_figure({"a": results, "b": other}).data] == ["a"]


def test_one_objective_is_drawn_as_the_best_so_far(results):
    study = dataclasses.replace(results, objectives=(PERPLEXITY,))
    (line,) = studies_figure({"a": study}).data
    assert len(line.y) == len(evaluated(study))
    assert list(line.y) == sorted(line.y, reverse=True)


def test_studies_without_results_are_said(empty_results):
    assert "None of these" in studies_figure({"a": empty_results}).layout.annotations[0].text
