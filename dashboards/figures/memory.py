"""What a model takes on the device while its context grows: weights that stay, and state that grows."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import MemoryAt
from dashboards.text import number, whole

GIB: Final = 2**30
MIB: Final = 2**20


def memory_figure(memory: Sequence[MemoryAt], *, limit_gib: float | None = None) -> go.Figure:
    """Draw weights and state stacked over the context, and the most the search allows.

    Args:
        memory: by growing context.
        limit_gib: none where the search has no limit of memory.
    """
    figure = new_figure(height=380)
    drawn = [entry for entry in memory if entry.context_tokens > 0]  # a logarithmic axis has no zero
    if not drawn:
        return say_instead(figure, "What it takes on the device is not known.")
    contexts = [entry.context_tokens for entry in drawn]
    most = max([entry.weight_bytes + entry.state_bytes for entry in drawn] + [(limit_gib or 0) * GIB])
    unit, size = ("GiB", GIB) if most >= GIB / 4 else ("MiB", MIB)
    weights = [entry.weight_bytes / size for entry in drawn]
    states = [entry.state_bytes / size for entry in drawn]
    hover = [
        f"{whole(entry.context_tokens)} tokens in the cache<br>weights {number(weight)} {unit}<br>"
        f"state {number(state)} {unit}<br><b>together {number(weight + state)} {unit}</b>"
        for entry, weight, state in zip(drawn, weights, states, strict=True)
    ]
    figure.add_scatter(
        x=contexts,
        y=weights,
        mode="lines",
        stackgroup="memory",
        name="weights",
        line={"color": palette.MARK, "width": 1.6},
        fillcolor=palette.RULE,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=contexts,
        y=states,
        mode="lines+markers",
        stackgroup="memory",
        name="state",
        line={"color": palette.ACCENT, "width": 2.4},
        marker={"size": 6, "color": palette.ACCENT},
        fillcolor=palette.ACCENT_SOFT,
        fillpattern={
            "shape": "/",
            "bgcolor": palette.ACCENT_SOFT,
            "fgcolor": palette.ACCENT,
            "fgopacity": 0.45,
            "size": 7,
            "solidity": 0.14,
        },
        hovertext=hover,
        hoverinfo="text",
    )
    if limit_gib is not None:
        _add_limit(figure, limit_gib, contexts, y=limit_gib * GIB / size)
    figure.update_layout(
        legend={"traceorder": "normal"},
        margin={"l": 64, "r": 24, "t": 56, "b": 56},
        xaxis={
            "title": {"text": "Tokens in the cache"},
            "type": "log",
            "tickvals": _powers_of_two(contexts[0], contexts[-1]),
            "ticktext": [_short(value) for value in _powers_of_two(contexts[0], contexts[-1])],
        },
        yaxis={"title": {"text": f"Memory ({unit})"}, "range": [0, most / size * 1.08 or 1]},
    )
    return figure


def _add_limit(figure: go.Figure, limit_gib: float, contexts: Sequence[int], *, y: float) -> None:
    figure.add_scatter(
        x=[contexts[0], contexts[-1]],
        y=[y, y],
        mode="lines",
        name=f"limit {limit_gib:g} GiB",
        line={"color": palette.FAILURE, "width": 1.8, "dash": "dash"},
        hovertext=f"The search allows {limit_gib:g} GiB",
        hoverinfo="text",
    )


def _powers_of_two(low: int, high: int) -> list[int]:
    exponents = [exponent for exponent in range(48) if low <= 2**exponent <= high]
    # At most eight: more would touch each other in half a page.
    step = max(1, -(-len(exponents) // 8))
    return [2**exponent for exponent in exponents[::-1][::step][::-1]]


def _short(tokens: int) -> str:
    """Return a power of two as people say it: 512, 8k, 1M."""
    for size, unit in ((2**20, "M"), (2**10, "k")):
        if tokens >= size:
            return f"{tokens // size}{unit}"
    return str(tokens)
