"""Elements that say how long ago something was. The browser makes the words and keeps them true: `assets/ages.js`.

Where no script runs, as in a report, they give the time itself.
"""

from datetime import datetime
from typing import Final

import pandas as pd

from dashboards.analysis.pace import median_evaluation_s
from dashboards.elements import Element, element
from dashboards.frame import Results

_QUIET_S: Final = 900.0
"""A running search that says nothing for so long is worth a look, however short its evaluations are."""

_MEDIANS_UNTIL_QUIET: Final = 3.0


def age(since: datetime, *, suffix: str = "", long_after_s: float | None = None) -> Element:
    """Return the time since `since`, such as `3 min`, and `suffix`; without scripts the time itself.

    Args:
        since: in UTC.
        suffix: words after the age, such as `ago`.
        long_after_s: age from which it is marked as long.
    """
    text = iso(since)
    attributes = {} if long_after_s is None else {"data_long_after_s": f"{long_after_s:.0f}"}
    if suffix:
        attributes["data_suffix"] = suffix
    return element("time", clock_words(since), datetime=text, data_since=text, title=clock_words(since), **attributes)


def last_sign(results: Results) -> datetime | None:
    """Return when the search was last heard of: a result, a dispatch, or what its process said of itself."""
    times = [results.trials["finished_at"].max(), results.trials["started_at"].max()]
    if results.activity is not None:
        times.append(pd.Timestamp(results.activity.at))
    known = [time for time in times if pd.notna(time)]
    return max(known).to_pydatetime() if known else None


def quiet_after_s(results: Results) -> float:
    """Return the seconds without a sign after which a running search is worth a look.

    A process that says it is there says so often; where none does, no result must come for three evaluations' length.
    """
    if results.activity is not None:
        return _QUIET_S
    return max(_QUIET_S, _MEDIANS_UNTIL_QUIET * (median_evaluation_s(results) or 0.0))


def iso(moment: datetime) -> str:
    """Return a time as machines read it, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def clock_words(moment: datetime) -> str:
    """Return a time as people read it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
