"""What is under way now: the places a search has, what each runs and for how long, and whether anything is heard of it.

How far it got is `spending.py` and the headline.
"""

import shlex
from typing import Any, Final

import pandas as pd

from dashboards.analysis.pace import median_evaluation_s
from dashboards.analysis.selection import records
from dashboards.elements import Element, Node, element
from dashboards.frame import Activity, Results
from dashboards.parts.ages import age, clock_words, iso, last_sign, quiet_after_s
from dashboards.text import duration, is_missing, number, whole
from dashboards.view import View

MAX_ROWS: Final = 64
LONG: Final = 3.0
"""Times the median of finished evaluations after which the one that runs longest is marked."""


def running_table(results: Results, view: View) -> list[Node]:
    """Return the candidates under way, the oldest first."""
    rows = results.trials[results.trials["status"] == "running"].sort_values(["started_at", "number"])
    if rows.empty:
        return [element("p", _nothing(results), class_="empty")]
    median = median_evaluation_s(results)
    since = {"running": "Age", "interrupted": "Begun", "finished": "Begun"}[results.state]
    head = element(
        "tr",
        *(element("th", title, scope="col", class_="word") for title in ("No.", "Pattern", "Origin")),
        element("th", since, scope="col", class_="number"),
    )
    oldest = rows.index[0]
    body = [
        _row(row, results, view, long_after_s=LONG * median if median and index == oldest else None)
        for index, row in zip(rows.index[:MAX_ROWS], records(rows.head(MAX_ROWS)), strict=True)
    ]
    words = f"{len(rows):,} under way, the oldest first."
    if len(rows) > MAX_ROWS:
        words = f"The oldest {MAX_ROWS} of {len(rows):,} under way."
    if median is not None:
        words += f" Half of those that finished took less than {duration(median)}."
    table = element("table", element("caption", words), element("thead", head), element("tbody", *body))
    return [element("div", table, class_="small-table", tabindex="0", role="region", aria_label="Under way")]


def places(results: Results) -> list[Node]:
    """Return how many places are busy and what each takes, as the process that runs the search last said."""
    activity = results.activity
    if activity is None:
        return []
    busy, all_places = activity.num_running, activity.num_places
    facts: list[tuple[str, str]] = [("Busy", f"{whole(busy)} of {whole(all_places)} places")]
    if activity.num_gpus:
        facts.append(("GPUs busy", _of_all(activity, activity.num_gpus)))
    facts.append(("CPUs busy", _of_all(activity, activity.num_cpus)))
    if activity.nodes:
        facts.append((f"{len(activity.nodes)} node{'s' * (len(activity.nodes) > 1)}", ", ".join(activity.nodes)))
    cells = [element("div", element("dt", label), element("dd", value)) for label, value in facts]
    share = min(1.0, busy / all_places) if all_places else 0.0
    # Few places are drawn one by one; of many only the share is seen.
    if all_places <= MAX_ROWS:
        marks = [element("span", class_="busy" if place < busy else "free") for place in range(all_places)]
    else:
        marks = [element("span", class_="busy", style=f"flex-grow:{share:.3f}")]
        marks.append(element("span", class_="free", style=f"flex-grow:{1 - share:.3f}"))
    words = f"{busy} of {all_places} places busy"
    meter = element("div", *marks, class_="places", role="img", aria_label=words)
    said = element("p", "As the search said ", age(activity.at, suffix="ago"), ".", class_="note")
    return [meter, element("dl", *cells, class_="facts-line"), said]


def warning(results: Results) -> list[Node]:
    """Return what to do where the search does not go on: at once if it was interrupted, else once it is quiet."""
    again = element("code", _resume(results))
    if results.state == "interrupted":
        return [element("p", "It was interrupted. Go on with ", again, class_="attention", role="note")]
    sign = last_sign(results)
    if results.state == "finished" or sign is None:
        return []
    words = "The search should be running, but nothing was heard of it for "
    attributes = {"data_quiet_since": iso(sign), "data_quiet_after_s": f"{quiet_after_s(results):.0f}"}
    line = element(
        "p",
        *(words, age(sign), ". Look at its log; if it has died, go on with ", again),
        class_="attention",
        role="note",
        hidden="hidden",
        **attributes,
    )
    return [line]


def _resume(results: Results) -> str:
    return f"nas resume {shlex.quote(results.directory) if results.directory else 'DIR'}"


def _of_all(activity: Activity, each: float) -> str:
    return f"{number(each * activity.num_running, decimals=_decimals(each))} of {_plain(each * activity.num_places)}"


def _plain(value: float) -> str:
    return number(value, decimals=_decimals(value))


def _decimals(value: float) -> int:
    return 0 if float(value).is_integer() else 2


def _nothing(results: Results) -> str:
    if results.state == "running":
        return "Nothing is under way at this moment."
    return "Nothing is under way: the search has ended." if results.state == "finished" else "Nothing was under way."


def _row(row: dict[str, Any], results: Results, view: View, *, long_after_s: float | None) -> Element:
    of = row["repeat_of"] if not is_missing(row["repeat_of"]) else row["parent"]
    origin = str(row["origin"]) if is_missing(of) else f"{row['origin']} of #{whole(of)}"
    pattern = "not known" if is_missing(row["pattern"]) else str(row["pattern"])
    begun: pd.Timestamp = row["started_at"]
    if pd.isna(begun):
        when: Node = "not known"
    elif results.state == "running":
        when = age(begun.to_pydatetime(), long_after_s=long_after_s)
    else:
        when = clock_words(begun)
    trial = int(row["number"] if is_missing(row["repeat_of"]) else row["repeat_of"])
    link = element("a", f"#{row['number']}", href=view.link(page="candidate", trial=trial))
    return element(
        "tr",
        element("th", link, scope="row", class_="word"),
        element("td", pattern, class_="pattern", title=pattern),
        element("td", origin, class_="word"),
        element("td", when, class_="number"),
    )
