"""How a search went on in time: the hours it worked, the breaks in between, its pace, and how long it has to go.

All of it follows from the times in the results. What depends on what time it is now, such as an age, is worked out in
the browser (`ages.py`): no clock is read here.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.light import light_candidates, light_trials
from dashboards.frame import Results

SHORTEST_BREAK_S: Final = 600.0
"""No shorter time without a result is a break, however fast evaluations are."""

_MEDIANS_TO_BREAK: Final = 3.0
_RECENT: Final = 50
_FEWEST: Final = 5
"""Results from which a pace can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A time in which the search stood still."""

    hours: float
    """Hours of work done before it."""

    seconds: float
    """How long it lasted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkingTime:
    """When each result came, on a clock that stops while the search stands still."""

    hours: "pd.Series[float]"
    """Hours of work until each result, by the index of its trial and in the order of time."""

    breaks: tuple[Break, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """How long the search has to go at its latest pace."""

    seconds: float
    num_results: int
    """Latest results from which the pace was taken."""

    @property
    def words(self) -> str:
        """As people say it: `about 2 h 10 min`."""
        if self.seconds < 120:
            return f"about {max(10, round(self.seconds, -1)):.0f} s"
        step = 10 if self.seconds >= 3600 else 1
        hours, minutes = divmod(round(self.seconds / 60 / step) * step, 60)
        if hours >= 48:
            return f"about {round(hours / 24)} days"
        return (
            f"about {hours} h {minutes} min"
            if hours and minutes
            else f"about {f'{hours} h' if hours else f'{minutes} min'}"
        )


def ended(results: Results) -> pd.DataFrame:
    """Return the candidates whose evaluation ended, however it did, in the order recorded, without long texts."""
    rows = light_candidates(results)
    rows = rows[(rows["status"] != "running") & rows["finish_index"].notna()]
    return rows.sort_values("finish_index")


def median_evaluation_s(results: Results) -> float | None:
    """Return how long a finished evaluation took in the middle, in seconds; none before the first."""
    trials = light_trials(results)
    return _median_s(trials[trials["status"] == "finished"])


def working_time(results: Results) -> WorkingTime:
    """Return when results came, without the breaks.

    The search stood still where no result came for 10 minutes and for three times as long as an evaluation takes in the
    middle. Of such a time, one evaluation's length counts as work: that of the result which ends it.
    """
    trials = results.trials
    finished = trials["finished_at"].dropna().sort_values()
    if finished.empty:
        return WorkingTime(hours=pd.Series(dtype="float64"), breaks=())
    started = trials["started_at"].min()
    median = _median_s(trials) or 0.0
    seconds: NDArray[np.float64] = finished.diff().dt.total_seconds().to_numpy(dtype=np.float64, copy=True)
    seconds[0] = max(0.0, (finished.iloc[0] - started).total_seconds()) if pd.notna(started) else 0.0
    is_break = seconds > max(SHORTEST_BREAK_S, _MEDIANS_TO_BREAK * median)
    is_break[0] = False
    rest = seconds[is_break] - median
    seconds[is_break] = median
    hours = seconds.cumsum() / 3600
    places = np.flatnonzero(is_break)
    breaks = tuple(
        Break(hours=float(hours[place - 1]), seconds=float(length)) for place, length in zip(places, rest, strict=True)
    )
    return WorkingTime(hours=pd.Series(hours, index=finished.index), breaks=breaks)


def time_left(results: Results) -> TimeLeft | None:
    """Return how long the search has to go; none where it does not run or its pace is not known yet."""
    rows = ended(results)
    missing = results.planned_evaluations - len(rows)
    hours = working_time(results).hours.reindex(rows.index).dropna().sort_values()
    recent = hours.tail(_RECENT + 1)
    if results.state != "running" or missing <= 0 or len(recent) <= _FEWEST:
        return None
    num_results = len(recent) - 1
    seconds = float(recent.iloc[-1] - recent.iloc[0]) * 3600
    return TimeLeft(seconds=missing * seconds / num_results, num_results=num_results) if seconds > 0 else None


def _median_s(trials: pd.DataFrame) -> float | None:
    seconds = (trials["finished_at"] - trials["started_at"]).dt.total_seconds().dropna()
    return float(seconds.median()) if len(seconds) else None
