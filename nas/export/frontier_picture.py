"""The frontier as a still picture in SVG, drawn without a browser: for model cards, which hold no scripts."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import pandas as pd

from dashboards.frame import Objective, Results

_WIDTH: Final = 760
_HEIGHT: Final = 440
_LEFT: Final = 76
_RIGHT: Final = 24
_TOP: Final = 76
_BOTTOM: Final = 64
_NUM_TICKS: Final = 5
_LARGEST_LINEAR: Final = 4.0
"""Ratio of the largest value to the smallest from which an axis is logarithmic, lest one bad model hide the others."""

_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#3d444d}.title{font-size:16px;font-weight:600;fill:#1f2328}"
    ".tick{font-size:12px;fill:#59636e}.grid{stroke:#e6e9ed}.axis{stroke:#8b949e}"
    ".trial{fill:#8b949e;fill-opacity:.45}.line{fill:none;stroke:#1f6feb;stroke-opacity:.5;stroke-width:2}"
    ".frontier{fill:#1f6feb;stroke:#fff;stroke-width:1.5}.this{fill:none;stroke:#cf222e;stroke-width:2.5}"
)


class _Axis:
    """From values to places along one axis, linear or, where values lie far apart, logarithmic."""

    def __init__(self, values: Sequence[float], *, start: float, end: float) -> None:
        low, high = min(values), max(values)
        self.is_log = low > 0 and high / low > _LARGEST_LINEAR
        low, high = self._scaled(low), self._scaled(high)
        margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        return self.start + (self._scaled(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.is_log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
            shown = [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
            return shown[:: math.ceil(len(shown) / (2 * _NUM_TICKS))]
        rough = (self.high - self.low) / _NUM_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


def frontier_svg(results: Results, *, highlighted: int | None = None) -> str | None:
    """Return all finished trials, the frontier among them and one trial ringed; none where nothing can be drawn.

    Args:
        results: of the study.
        highlighted: number of the trial to ring; none for no ring.
    """
    if len(results.objectives) < 2:
        return None
    up, right = results.objectives[0], results.objectives[1]
    trials = results.trials
    shown = trials[(trials["status"] == "finished") & trials[up.column].notna() & trials[right.column].notna()]
    if shown.empty:
        return None
    x = _Axis(shown[right.column].tolist(), start=_LEFT, end=_WIDTH - _RIGHT)
    y = _Axis(shown[up.column].tolist(), start=_HEIGHT - _BOTTOM, end=_TOP)
    frontier = shown[shown["is_frontier"]].sort_values(right.column)
    ringed = shown[shown["number"] == highlighted]

    def places(rows: pd.DataFrame) -> list[str]:
        pairs = zip(rows[right.column], rows[up.column], strict=True)
        return [f'cx="{x.place(across):.1f}" cy="{y.place(above):.1f}"' for across, above in pairs]

    words = escape(_words(results, len(shown), len(frontier)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">',
        f"<title>{words}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#fff"/>',
        f'<text class="title" x="{_LEFT}" y="30">{words}</text>',
        *_legend(highlighted if len(ringed) else None),
        *_grid(x, y, up=up, right=right),
        # What is looked for lies on top.
        *(f'<circle class="trial" {place} r="4"/>' for place in places(shown[~shown["is_frontier"].astype(bool)])),
        f'<polyline class="line" points="{" ".join(_corners(frontier, x, y, up=up, right=right))}"/>',
        *(f'<circle class="frontier" {place} r="5.5"/>' for place in places(frontier)),
        *(f'<circle class="this" {place} r="10"/>' for place in places(ringed)),
    ]
    return "\n".join((*parts, "</svg>")) + "\n"


def _words(results: Results, num_trials: int, num_frontier: int) -> str:
    return f"{results.title}: {num_trials} trials, {num_frontier} on the frontier"


def _legend(highlighted: int | None) -> list[str]:
    entries = [("trial", 4.0, "trial"), ("frontier", 5.5, "on the frontier")]
    if highlighted is not None:
        entries.append(("this", 8.0, f"this model, trial {highlighted}"))
    parts = []
    for place, (name, radius, words) in enumerate(entries):
        left = _LEFT + 5 + (0, 60, 190)[place]
        parts.append(f'<g><circle class="{name}" cx="{left}" cy="52" r="{radius}"/>')
        parts.append(f'<text x="{left + 14}" y="56">{words}</text></g>')
    return parts


def _corners(frontier: pd.DataFrame, x: _Axis, y: _Axis, *, up: Objective, right: Objective) -> list[str]:
    """Return the stairs between members: what lies above and to the right is dominated."""
    corners: list[str] = []
    height = None
    for across, above in zip(frontier[right.column], frontier[up.column], strict=True):
        if height is not None:
            corners.append(f"{x.place(across):.1f},{height:.1f}")
        height = y.place(above)
        corners.append(f"{x.place(across):.1f},{height:.1f}")
    return corners


def _grid(x: _Axis, y: _Axis, *, up: Objective, right: Objective) -> list[str]:
    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in x.ticks():
        at = f"{x.place(tick):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{bottom + 20}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y.ticks():
        at = f"{y.place(tick):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{end}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 10}" y="{at}" dy="4" text-anchor="end">{_number(tick)}</text>')
    middle = (_TOP + bottom) / 2
    return [
        *parts,
        f'<polyline class="axis" fill="none" points="{_LEFT},{_TOP} {_LEFT},{bottom} {end},{bottom}"/>',
        f'<text x="{(_LEFT + end) / 2}" y="{_HEIGHT - 16}" text-anchor="middle">{escape(right.title)}</text>',
        f'<text transform="translate(22 {middle}) rotate(-90)" text-anchor="middle">{escape(up.title)}</text>',
    ]


def _number(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value / 1e6:,.6g}M"
