"""From the study to what dashboards, reports and exports read; the columns are documented in `dashboards/frame.py`."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dashboards.frame import COLUMNS
from nas.candidates import Candidate, History
from nas.results.hypervolume_curve import HypervolumeCurve
from nas.results.rows import TAKEN, broken_row, ended_row, running_row
from nas.study_reader import Begun, BrokenTrial

G = TypeVar("G", bound=Hashable)

_DTYPES = {column.name: column.dtype for column in COLUMNS}


def results_frame(
    history: History[G],
    running: Sequence[Candidate[G]] = (),
    *,
    begun: Mapping[int, Begun] = MappingProxyType({}),
    broken: Sequence[BrokenTrial] = (),
    measured_ms: Mapping[str, float] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return one row per trial, by number.

    Args:
        history: trials that ended.
        running: trials that did not.
        begun: how these began, by number.
        broken: trials that cannot be read.
        measured_ms: what models timed whole took, by fingerprint.
    """
    return GrowingFrame().frame(history, running, begun=begun, broken=broken, measured_ms=measured_ms)


class GrowingFrame:
    """The frame of a study that is asked for again and again: rows of trials that ended are made once."""

    def __init__(self) -> None:
        self._made_of: dict[int, object] = {}
        """By number the record that a row was made of."""

        self._ended: pd.DataFrame | None = None
        self._figures: tuple[str, ...] = ()
        self._curve = HypervolumeCurve()
        self._last: pd.DataFrame | None = None
        self._others_are: object = None

    def frame(
        self,
        history: History[G],
        running: Sequence[Candidate[G]] = (),
        *,
        begun: Mapping[int, Begun] = MappingProxyType({}),
        broken: Sequence[BrokenTrial] = (),
        measured_ms: Mapping[str, float] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Return the frame of a study as it is now, equal to one made anew; the same one while nothing has changed."""
        figures = _figures(history, running)
        if figures != self._figures:
            self._figures, self._made_of, self._ended = figures, {}, None
        before = self._ended
        ended = self._with_new(history)
        others_are = ([one.number for one in running], dict(begun), list(broken), dict(measured_ms))
        if self._last is not None and ended is before and others_are == self._others_are:
            return self._last
        others = [running_row(candidate, history.space, begun.get(candidate.number)) for candidate in running]
        others += [broken_row(one) for one in broken]
        frame = self._concatenated([ended, self._made(others, history.objectives)]) if others else ended.copy()
        frame = frame.sort_values("number", ignore_index=True)
        self._place(frame, history, measured_ms)
        self._last, self._others_are = frame, others_are
        return frame

    def _with_new(self, history: History[G]) -> pd.DataFrame:
        ranked = {record.number: history.ranked(record) for record in history}
        new = [record for number, record in ranked.items() if self._made_of.get(number) is not record]
        kept = self._ended
        if kept is not None and any(number not in ranked for number in self._made_of):
            # Another study than before: one that was made anew, or whose end was torn off.
            kept, new, self._made_of = None, list(ranked.values()), {}
        if kept is None or new:
            changed = [record.number for record in new if record.number in self._made_of]
            if changed and kept is not None:
                kept = kept[~kept["number"].isin(changed)]
            added = self._made([ended_row(record, history.space) for record in new], history.objectives)
            self._ended = added if kept is None else self._concatenated([kept, added])
            self._made_of = dict(ranked)
        assert self._ended is not None
        return self._ended

    def _made(self, rows: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> pd.DataFrame:
        names = [column.name for column in COLUMNS]
        names += [name for name in self._figures if name not in names]
        dtypes = _DTYPES | {name: "float64" for name in self._figures if name != "num_parameters" or name in objectives}
        # Objects first: a column where every value is missing must not become text.
        columns = {name: np.array([row.get(name) for row in rows] + [None], dtype=object)[:-1] for name in names}
        frame = pd.DataFrame(columns)
        frame["is_frontier"] = False
        return frame.astype(dtypes)

    @staticmethod
    def _concatenated(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        filled = [frame for frame in frames if len(frame)]
        return pd.concat(filled, ignore_index=True) if filled else frames[0]

    def _place(self, frame: pd.DataFrame, history: History[G], measured_ms: Mapping[str, float]) -> None:
        """Fill in how each trial stands among the others."""
        numbers = frame["number"].to_numpy()
        frontier = np.array([record.number for record in history.frontier()], dtype=np.int64)
        frame["is_frontier"] = np.isin(numbers, frontier)
        hypervolumes = self._hypervolumes(history)
        frame["hypervolume"] = np.array([hypervolumes.get(number, np.nan) for number in numbers.tolist()], dtype=float)
        frame["measured_latency_ms"] = frame["fingerprint"].map(dict(measured_ms)).astype("float64")

    def _hypervolumes(self, history: History[G]) -> dict[int, float]:
        """Return the archive's share of the box between best and worst after each trial, in the order they ended."""
        finished = history.finished()
        points = history.points(finished)
        if not points or min(map(min, points)) <= 0:
            return {}
        after = dict(zip((record.number for record in finished), self._curve.after_each(points), strict=True))
        result: dict[int, float] = {}
        volume = 0.0
        for record in history:
            volume = after.get(record.number, volume)
            if not record.is_repeat:
                result[record.number] = volume
        return result


def _figures(history: History[G], running: Sequence[Candidate[G]]) -> tuple[str, ...]:
    """Return the objectives, and what costs nothing to know and is shown also where it is no objective."""
    first = next((record.candidate for record in history), None) or next(iter(running), None)
    cheap = [name for name in first.cheap if name not in TAKEN] if first else []
    return tuple(dict.fromkeys((*history.objectives, *cheap)))
