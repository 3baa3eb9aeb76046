import pytest

from dashboards import palette
from dashboards.figures.operator_bars import OperatorBar, floor_words, operator_bars_figure

BAR = OperatorBar(
    trial=3, latency_ms={"attention": 0.6, "ffn": 0.4}, floor_ms={"attention": 0.4, "ffn": 0.4}, measured_ms=1.1
)


def words(figure):
    return " | ".join(annotation.text for annotation in figure.layout.annotations)


def test_bars_and_floors_add_up_to_what_stands_beside_them():
    figure = operator_bars_figure([BAR])
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert sum(trace.x[0] for trace in bars if trace.y[0] == 0) == pytest.approx(1.0)
    assert sum(trace.x[0] for trace in bars if trace.y[0] > 0) == pytest.approx(0.8)
    assert "1.000 ms" in words(figure)
    assert "0.8000 ms at least" in words(figure)


def test_floors_are_told_from_latencies_without_colour_and_are_not_named_twice():
    bars = [trace for trace in operator_bars_figure([BAR]).data if trace.type == "bar"]
    is_outline = {(trace.showlegend, trace.marker.color == palette.SURFACE) for trace in bars}
    assert is_outline == {(True, False), (False, True)}


def test_kinds_are_told_apart_by_hatching_in_bars_and_floors():
    kinds = ("mamba2", "deltanet", "fixed")
    bar = OperatorBar(trial=3, latency_ms=dict.fromkeys(kinds, 1.0), floor_ms=dict.fromkeys(kinds, 0.5))
    bars = operator_bars_figure([bar]).data
    for shown in (True, False):
        shapes = [trace.marker.pattern.shape for trace in bars if trace.showlegend is shown]
        assert len(set(shapes)) == len(kinds)


def test_the_measured_latency_has_a_mark_of_its_own():
    (mark,) = [trace for trace in operator_bars_figure([BAR]).data if trace.type == "scatter"]
    assert (mark.x[0], mark.name, mark.customdata[0]) == (1.1, "measured, the whole model", 3)


def test_several_candidates_share_one_axis_and_those_without_latency_are_left_out():
    nothing = OperatorBar(trial=4, latency_ms={})
    other = OperatorBar(trial=5, latency_ms={"<b>new</b>": 2.0})
    figure = operator_bars_figure([BAR, nothing, other])
    assert [text for text in figure.layout.yaxis.ticktext if "#" in text] == ["<b>#3</b> ", "<b>#5</b> "]
    assert "&lt;b&gt;new" in {trace.name[:12] for trace in figure.data if trace.type == "bar"}
    assert figure.layout.xaxis.range[1] > 2


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        (0.8, "25 % above the floor"),
        (1.25, "20 % below the floor"),
        (0.0, ""),
        (0.25, "4.0 times the floor"),
        (0.01, "100 times the floor"),
    ],
)
def test_words_say_how_far_the_latency_is_from_its_floor(floor, said):
    bar = OperatorBar(trial=1, latency_ms={"ffn": 1.0}, floor_ms={"ffn": floor})
    assert floor_words(bar).startswith(said)
    assert bool(floor_words(bar)) == bool(said)


def test_without_latency_the_figure_says_so():
    assert "No latency was predicted" in words(operator_bars_figure([]))
