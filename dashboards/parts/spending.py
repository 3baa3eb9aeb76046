"""What a search has spent: tokens and time of training by how it ended, and the share that stopping early saved.

Not what it brought: that is drawn in `figures/progress.py`.
"""

import pandas as pd

from dashboards.analysis.light import light_trials
from dashboards.analysis.pace import ended, time_left, working_time
from dashboards.analysis.selection import is_candidate
from dashboards.elements import Element, Node, element
from dashboards.frame import Results
from dashboards.text import count, duration, is_missing

_WORDS = {
    "finished": "Finished",
    "stopped": "Stopped early",
    "failed": "Failed",
    "infeasible": "Over a limit",
    "repeat": "Repeats, for the noise",
}
"""What ended, in the order of the table."""


def spending_table(results: Results) -> list[Node]:
    """Return candidates, tokens and training time by how they ended, and what follows from them in words."""
    trials = light_trials(results)
    trials = trials[(trials["status"] != "running") & trials["finish_index"].notna()]
    if trials.empty:
        return [element("p", "Nothing has been spent yet.", class_="empty")]
    groups = trials.assign(
        kind=trials["status"].astype("str").where(is_candidate(trials), "repeat"),
        tokens_seen=trials["tokens_seen"].astype("Float64").astype("float64"),
    ).groupby("kind")
    table = groups.agg(number=("number", "size"), tokens=("tokens_seen", _sum), seconds=("train_seconds", _sum))
    table = table.reindex([kind for kind in _WORDS if kind in table.index])
    whole_table = [*zip(table.index, table.to_numpy(dtype="float64").tolist(), strict=True)]
    body = [_row(_WORDS[str(kind)], values) for kind, values in whole_table]
    totals = [float(table["number"].sum()), _sum(table["tokens"]), _sum(table["seconds"])]
    titles = (("Ended", "word"), ("Trials", "number"), ("Tokens", "number"), ("Training time", "number"))
    head = element("tr", *(element("th", title, scope="col", class_=kind) for title, kind in titles))
    words = element("ul", *(element("li", sentence) for sentence in _sentences(results)), class_="sentences")
    return [
        words,
        element(
            "table",
            element("thead", head),
            element("tbody", *body),
            element("tfoot", _row("All", totals)),
            class_="plain-table",
        ),
    ]


def share_of_full(results: Results) -> float | None:
    """Return the tokens spent, as a share of those that full trainings of the same candidates would have cost."""
    rows = ended(results)
    rows = rows[rows["tokens_planned"].notna() & rows["tokens_seen"].notna() & (rows["status"] != "failed")]
    planned = float(rows["tokens_planned"].sum())
    return float(rows["tokens_seen"].sum()) / planned if planned else None


def _sentences(results: Results) -> list[str]:
    sentences = []
    share = share_of_full(results)
    if share is not None:
        sentences.append(f"Trainings took {100 * share:.0f} % of the tokens that full ones would have cost.")
    time = working_time(results)
    num_ended = len(ended(results))
    if len(time.hours) > 1 and time.hours.iloc[-1] > 0:
        rate = num_ended / float(time.hours.iloc[-1])
        sentences.append(f"{_rate(rate)} over {duration(time.hours.iloc[-1] * 3600)} of search.")
    if time.breaks:
        still = duration(sum(entry.seconds for entry in time.breaks))
        times = "once" if len(time.breaks) == 1 else f"{len(time.breaks)} times"
        sentences.append(f"It stood still {times}, for {still}{' in all' if len(time.breaks) > 1 else ''}.")
    left = time_left(results)
    if left is not None:
        sentences.append(f"{left.words.capitalize()} to go at the pace of the last {left.num_results}.")
    return sentences


def _rate(per_hour: float) -> str:
    if per_hour >= 10:
        return f"{per_hour:,.0f} candidates an hour"
    return f"{per_hour:.1f} candidates an hour" if per_hour >= 1 else f"{24 * per_hour:.1f} candidates a day"


def _sum(values: "pd.Series[float]") -> float:
    """Return the sum of what is known; missing where nothing is."""
    return float(values.sum(min_count=1))


def _row(title: str, values: list[float]) -> Element:
    number, tokens, seconds = values
    known = ("–" if is_missing(tokens) else count(tokens), duration(seconds))
    cells = [element("td", text, class_="number") for text in (f"{number:,.0f}", *known)]
    return element("tr", element("th", title, scope="row", class_="word"), *cells)
