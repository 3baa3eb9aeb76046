"""Where the numbers of the frontier's members find room: beside their marks, and on no label, mark or ring.

Draws nothing; sizes are pixels of the plane where the page is narrow.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboards.analysis.plane import ACROSS, UP, Plane
from dashboards.figures.pareto_scale import share_within

PLANE: Final = (840.0, 330.0)
LETTER: Final = 7.2
LINE: Final = 15.0
"""Width of a letter and height of a line of text."""

GAP: Final = 4.0
"""Distance of a label from the middle of its own mark."""

MARK: Final = 6.0
RING: Final = 14.0
"""Distance from the middle of a mark, or of a ringed one, that no label may come into."""

KNEE_OFFSET: Final = (58, 56)
"""Pixels from the knee to its name, to the left and down."""

_Boxes = NDArray[np.float64]
"""Left, bottom, right and top of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The number of a member, and on which side of its mark it stands."""

    number: int
    across: float
    up: float
    xanchor: str
    yanchor: str
    xshift: float
    yshift: float


def spaced_labels(plane: Plane) -> list[Label]:
    """Return the labels that find room; none for the knee, which has its own."""
    members, knee = plane.frontier, plane.results.knee
    if plane.span is None or plane.heights is None or members.empty:
        return []
    numbers = members["number"].tolist()
    ringed = {plane.view.trial, None if plane.pick is None else int(plane.pick["number"])}
    places = np.array(
        [
            (share_within(plane.x, across, plane.span), share_within(plane.y, up, plane.heights))
            for across, up in zip(members[ACROSS].tolist(), members[UP].tolist(), strict=True)
        ]
    ) * np.array(PLANE)
    reach = np.array([RING if number in ringed else MARK for number in numbers])[:, np.newaxis]
    taken = np.concatenate([places - reach, places + reach], axis=1)
    if knee in numbers:
        taken = np.concatenate([taken, _knee_boxes(places[numbers.index(knee)], letters=len(f"knee #{knee}"))])
    labels = []
    for row, number in enumerate(numbers):
        if number == knee:
            continue
        others = np.delete(taken, row, axis=0)
        found = _placed(
            places[row],
            letters=len(f"#{number}"),
            gap=RING if number in ringed else GAP,
            taken=others,
            edge=float(places[row + 1, 0]) if row + 1 < len(numbers) else np.inf,
        )
        if found is None:
            continue
        (right, above), (xshift, yshift), box = found
        taken = np.concatenate([taken, box[np.newaxis]])
        labels.append(
            Label(
                number=number,
                across=float(members[ACROSS].iloc[row]),
                up=float(members[UP].iloc[row]),
                xanchor="left" if right else "right",
                yanchor="bottom" if above else "top",
                xshift=xshift,
                yshift=yshift,
            )
        )
    return labels


def _placed(
    place: NDArray[np.float64], *, letters: int, gap: float, taken: _Boxes, edge: float
) -> tuple[tuple[bool, bool], tuple[float, float], NDArray[np.float64]] | None:
    """Return side, shift and box of a label; none where there is no room.

    Below to the left no line of the frontier passes, nor above to the right; below to the right one may from `edge` on.
    """
    for is_right, is_above in ((False, False), (True, True), (True, False)):
        xshift, yshift = (gap if is_right else -gap), (gap if is_above else -gap)
        left = place[0] + xshift - (0 if is_right else LETTER * letters)
        bottom = place[1] + yshift - (0 if is_above else LINE)
        box = np.array([left, bottom, left + LETTER * letters, bottom + LINE])
        is_hit = (box[0] < taken[:, 2]) & (taken[:, 0] < box[2]) & (box[1] < taken[:, 3]) & (taken[:, 1] < box[3])
        if not is_hit.any() and (is_right == is_above or box[2] < edge):
            return (is_right, is_above), (xshift, yshift), box
    return None


def _knee_boxes(place: NDArray[np.float64], *, letters: int) -> _Boxes:
    """Return the boxes of the knee's name and of the line that leads to it."""
    end = place - np.array(KNEE_OFFSET)
    name = np.array([[end[0] - LETTER * letters, end[1] - LINE / 2, end[0], end[1] + LINE / 2]])
    steps = place + (end - place) * np.linspace(0.1, 1, 8)[:, np.newaxis]
    return np.concatenate([name, np.concatenate([steps - 4, steps + 4], axis=1)])
