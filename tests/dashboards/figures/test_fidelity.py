import dataclasses

import pytest

from dashboards.elements import graphs_in
from dashboards.figures.fidelity import fidelity_figure, scores_figure
from dashboards.figures.log_axis import log_axis
from dashboards.frame import Fidelity
from dashboards.page import report_page
from dashboards.report import report_html


def marks(figure):
    """The traces of candidates, without the keys of the legend."""
    return [trace for trace in figure.data if trace.x[0] is not None]


def test_every_candidate_is_drawn_once_with_its_frontier_apart(fidelity):
    figure = fidelity_figure(fidelity)
    drawn = {(x, y): trace.name for trace in marks(figure) for x, y in zip(trace.x, trace.y, strict=True)}
    assert drawn == {
        (one.perplexity, one.long_perplexity): "frontier" if one.is_frontier else "candidate"
        for one in fidelity.candidates
    }
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_larger_models_are_drawn_larger_and_the_legend_says_how_large(fidelity):
    figure = fidelity_figure(fidelity)
    sizes = {x: size for trace in marks(figure) for x, size in zip(trace.x, trace.marker.size, strict=True)}
    by_parameters = sorted(fidelity.candidates, key=lambda one: one.num_parameters)
    drawn = [sizes[one.perplexity] for one in by_parameters]
    assert drawn == sorted(drawn)
    assert drawn[0] < drawn[-1]
    names = [trace.name for trace in figure.data]
    assert names[-2:] == ["2.00 M parameters", "30.0 M parameters"]


def test_bars_reach_from_nothing_to_the_correlation_and_whiskers_over_the_interval(fidelity):
    (bars,) = scores_figure(fidelity).data
    assert list(bars.y) == [score.name for score in fidelity.scores]
    assert list(bars.x) == [0.71, 0.93, -0.2]
    assert list(bars.error_x.array) == pytest.approx([0.17, 0.06, 0.5])
    assert list(bars.error_x.arrayminus) == pytest.approx([0.31, 0.15, 0.4])


def test_negative_correlations_stay_inside_the_axis(fidelity):
    low, high = scores_figure(fidelity).layout.xaxis.range
    assert low < -0.6
    assert high > 1
    positive = dataclasses.replace(fidelity, scores=fidelity.scores[:2])
    assert scores_figure(positive).layout.xaxis.range[0] == 0


def test_nothing_to_draw_is_no_error():
    nothing = Fidelity(times=4.0, candidates=(), scores=(), findings=())
    assert not fidelity_figure(nothing).data
    assert scores_figure(nothing).layout.height > 0


def test_marks_carry_their_candidates(fidelity):
    numbers = {number for trace in marks(fidelity_figure(fidelity)) for number in trace.customdata}
    assert numbers == {one.number for one in fidelity.candidates}


def test_the_report_draws_it_only_where_candidates_were_trained_longer(results, fidelity):
    graphs = {graph.name for graph in graphs_in([report_page(results)])}
    with_it = dataclasses.replace(results, fidelity=fidelity)
    assert {graph.name for graph in graphs_in([report_page(with_it)])} == graphs | {"fidelity", "scores"}
    text = report_html(with_it)
    assert "How far short training can be trusted" in text
    assert "Short training ranks &lt;well&gt;." in text


def test_logarithmic_axes_have_round_labels_also_within_one_decade():
    axis = log_axis([21.0, 44.0])
    assert len(axis["tickvals"]) >= 5
    assert all(18 < tick < 50 for tick in axis["tickvals"])
    assert log_axis([]) == {"type": "log"}
