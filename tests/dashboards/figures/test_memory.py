from dashboards.figures.memory import memory_figure
from dashboards.frame import MemoryAt

MEMORY = tuple(
    MemoryAt(context_tokens=tokens, weight_bytes=2 * 2**30, state_bytes=tokens * 2**20) for tokens in (0, 1024, 65536)
)


def test_weights_and_state_are_stacked_over_the_context():
    weights, state = memory_figure(MEMORY).data
    assert (weights.stackgroup, list(weights.y)) == (state.stackgroup, [2, 2])
    assert list(state.y) == [1, 64]
    assert "together 66.00 GiB" in state.hovertext[-1]


def test_the_context_is_logarithmic_and_named_in_powers_of_two():
    axis = memory_figure(MEMORY).layout.xaxis
    assert axis.type == "log"
    assert list(axis.ticktext) == ["1k", "2k", "4k", "8k", "16k", "32k", "64k"]


def test_the_limit_is_a_dashed_line_within_the_picture():
    figure = memory_figure(MEMORY, limit_gib=80)
    limit = figure.data[-1]
    assert (limit.name, limit.line.dash, set(limit.y)) == ("limit 80 GiB", "dash", {80})
    assert figure.layout.yaxis.range[1] > 80


def test_unknown_memory_is_said():
    assert "not known" in memory_figure(()).layout.annotations[0].text


def test_small_models_are_drawn_in_smaller_units():
    small = (MemoryAt(context_tokens=1024, weight_bytes=3 * 2**20, state_bytes=2**20),)
    figure = memory_figure(small)
    assert figure.layout.yaxis.title.text == "Memory (MiB)"
    assert [trace.y[0] for trace in figure.data] == [3, 1]
    limited = memory_figure(small, limit_gib=2.0)
    assert limited.layout.yaxis.title.text == "Memory (GiB)"
    assert limited.data[-1].y[0] == 2
