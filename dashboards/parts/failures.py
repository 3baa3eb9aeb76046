"""What went wrong in a study, by kind: how often, and the last message of each.

Every failed candidate on its own is in the table of candidates.
"""

from typing import Any, Final, get_args

from dashboards.analysis.light import light_candidates
from dashboards.analysis.pace import ended
from dashboards.analysis.selection import records
from dashboards.elements import Element, Node, element
from dashboards.frame import Results, Status
from dashboards.parts.ages import clock_words
from dashboards.text import is_missing
from dashboards.view import View

_LONGEST: Final = 300


def failures_table(results: Results, view: View) -> list[Node]:
    """Return a row a kind, the most frequent first, with a link to the candidate that failed last."""
    failed = light_candidates(results, "failed").sort_values(["finish_index", "number"])
    if failed.empty:
        return [element("p", "No candidate has failed.", class_="empty")]
    kinds = failed["failure_kind"].fillna("unknown")
    counts = kinds.value_counts()
    last = results.trials.loc[kinds.drop_duplicates(keep="last").index]
    by_kind = {row["failure_kind"]: row for row in records(last.assign(failure_kind=kinds.loc[last.index]))}
    body = [_row(by_kind[kind], view, number=int(number), most=int(counts.max())) for kind, number in counts.items()]
    titles = (("Kind", "word"), ("Candidates", "word"), ("Last message", "word"), ("Last", "number"))
    head = element("tr", *(element("th", title, scope="col", class_=kind) for title, kind in titles))
    num_ended = len(ended(results))
    # A trial that cannot be read counts as failed, but did not end.
    num_failed = int(failed["finish_index"].notna().sum())
    share = f", {100 * num_failed / num_ended:.1f} % of those that ended" if num_failed else ""
    caption = element("caption", f"{len(failed):,} failed{share}.")
    table = element("table", caption, element("thead", head), element("tbody", *body))
    others = tuple(status for status in get_args(Status) if status != "failed")
    link = element("a", "All failed candidates in the table", href=view.link(page="table", hide=others), data_live="")
    return [
        element("div", table, class_="small-table", tabindex="0", role="region", aria_label="Failures by kind"),
        element("p", link, class_="more"),
    ]


def _row(row: dict[str, Any], view: View, *, number: int, most: int) -> Element:
    message = "" if is_missing(row["failure_message"]) else " ".join(str(row["failure_message"]).split())
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]} …"
    bar = element("span", style=f"width:{number / most:.0%}", class_="share", aria_hidden="true")
    link = element("a", f"#{row['number']}", href=view.link(page="candidate", trial=int(row["number"])))
    when = [] if is_missing(row["finished_at"]) else [element("small", clock_words(row["finished_at"]))]
    return element(
        "tr",
        element("th", str(row["failure_kind"]).replace("_", " "), scope="row", class_="word"),
        element("td", element("b", f"{number:,}"), bar, class_="word"),
        element("td", message or "no message", class_="message"),
        element("td", link, *when, class_="number"),
    )
