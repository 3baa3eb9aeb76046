"""The frontier as a still picture in SVG, drawn without a browser: for model cards, which hold no scripts."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

import pandas as pd

from dashboards.frame import Objective, Results

_WIDTH: Final = 720
_HEIGHT: Final = 420
_LEFT: Final = 80
_RIGHT: Final = 20
_TOP: Final = 40
_BOTTOM: Final = 60
_NUM_TICKS: Final = 5

_STYLE: Final = (
    "text{font:13px sans-serif;fill:#333}.trial{fill:#9aa3ad;fill-opacity:.6}.frontier{fill:#1f6feb}"
    ".line{fill:none;stroke:#1f6feb;stroke-width:1.5}.this{fill:none;stroke:#d1242f;stroke-width:3}"
    ".grid{stroke:#e3e6ea}"
)


class _Axis:
    """From values to places along one axis."""

    def __init__(self, values: Sequence[float], *, start: float, end: float) -> None:
        low, high = min(values), max(values)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / _NUM_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step) + 1)]


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
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(_words(results, len(shown), len(frontier)))}</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *_grid(x, y, up=up, right=right),
        f'<polyline class="line" points="{" ".join(_corners(frontier, x, y, up=up, right=right))}"/>',
    ]
    for row in shown.itertuples():
        place = f'cx="{x.place(getattr(row, right.column)):.1f}" cy="{y.place(getattr(row, up.column)):.1f}"'
        parts.append(f'<circle class="{"frontier" if row.is_frontier else "trial"}" {place} r="4"/>')
        if row.number == highlighted:
            parts.append(f'<circle class="this" {place} r="9"/>')
    parts.append(f'<text x="{_LEFT}" y="22">{escape(_words(results, len(shown), len(frontier)))}</text></svg>')
    return "\n".join(parts) + "\n"


def _words(results: Results, num_trials: int, num_frontier: int) -> str:
    return f"{results.title}: {num_trials} models, {num_frontier} on the frontier"


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
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 14}" text-anchor="middle">')
    parts.append(f"{escape(right.title)}</text>")
    parts.append(f'<text transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">{escape(up.title)}</text>')
    return parts
