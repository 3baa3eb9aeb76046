"""The candidate that a reader pressed, in brief: what it is, what it reaches, what became of it.

Everything about it is the candidate view.
"""

from typing import Any

from dashboards.analysis.filters import STATUS_WORDS
from dashboards.analysis.plane import Plane
from dashboards.analysis.selection import records
from dashboards.analysis.trial_parts import parts_of
from dashboards.elements import Element, Node, element
from dashboards.parts.architecture import strip
from dashboards.text import MISSING, count, duration, is_missing, number, significant_decimals, whole
from dashboards.view import MAX_COMPARED, View


def frontier_chosen(plane: Plane) -> list[Node]:
    """Return the chosen candidate; without a choice the one that suggests itself."""
    asked = plane.view.trial
    chosen = plane.default_trial if asked is None else asked
    if chosen is None:
        return [element("p", "Press a mark to read about its candidate.", class_="note")]
    found = records(plane.results.trials[plane.results.trials["number"] == chosen])
    if not found:
        return [element("p", f"The study has no candidate #{chosen}.", class_="note")]
    row = found[0]
    parts: list[Node] = [_title(row, plane), *_ancestry(row, plane.view)]
    if not is_missing(row["failure_kind"]):
        message = "" if is_missing(row["failure_message"]) else f": {row['failure_message']}"
        parts.append(element("p", element("b", str(row["failure_kind"])), message, class_="failure"))
    parts += [_figures(row, plane), *_architecture(row), _links(row, plane.view)]
    if asked is None:
        parts.append(element("p", "Press a mark to read about another.", class_="note", data_live=""))
    return [element("div", *parts, class_="panel chosen")]


def _title(row: dict[str, Any], plane: Plane) -> Element:
    marks: list[Node] = [" ", element("span", _standing(row), class_=f"badge {_kind(row)}")]
    if row["number"] == plane.results.knee:
        marks += [" ", element("span", "knee", class_="badge")]
    if plane.pick is not None and row["number"] == plane.pick["number"]:
        marks += [" ", element("span", "pick", class_="badge")]
    return element("h4", f"#{row['number']}", *marks)


def _standing(row: dict[str, Any]) -> str:
    if not is_missing(row["repeat_of"]):
        return f"repeats #{whole(row['repeat_of'])}"
    if row["status"] != "finished":
        return STATUS_WORDS[row["status"]]
    return "on the frontier" if row["is_frontier"] else "dominated"


def _kind(row: dict[str, Any]) -> str:
    """Return the class of a badge, which colours it."""
    if row["status"] != "finished":
        return f"status-{row['status']}"
    return "frontier" if row["is_frontier"] else "plain"


def _ancestry(row: dict[str, Any], view: View) -> list[Node]:
    parts: list[Node] = [str(row["origin"])]
    if not is_missing(row["parent"]):
        parent = int(row["parent"])
        parts += [" of ", element("a", f"#{parent}", href=view.link(trial=parent))]
    if not is_missing(row["mutation"]):
        parts.append(f": {row['mutation']}")
    return [element("p", *parts, class_="ancestry")]


def _figures(row: dict[str, Any], plane: Plane) -> Element:
    first, *others = plane.results.objectives
    score = number(row[first.column])
    if not is_missing(row["deviation"]) and not is_missing(row[first.column]):
        decimals = significant_decimals(float(row[first.column]))
        score += f" ± {number(row['deviation'], decimals=decimals)} over {whole(row['num_evaluations'])} seeds"
    elif is_missing(row[first.column]) and not is_missing(row["expected"]):
        score = f"{number(row['expected'])} expected"
    pairs = [(first.label, f"{score} {first.unit}".rstrip(), score != MISSING)]
    pairs += [
        (one.label, f"{number(row[one.column])} {one.unit}".rstrip(), not is_missing(row[one.column])) for one in others
    ]
    objectives = {one.column for one in plane.results.objectives}
    pairs += [
        (label, text, not is_missing(row[column]) and column not in objectives)
        for column, label, text in (
            ("measured_latency_ms", "Measured whole", f"{number(row['measured_latency_ms'])} ms"),
            ("num_parameters", "Parameters", count(row["num_parameters"])),
            ("hidden_size", "Width", whole(row["hidden_size"])),
            ("depth", "Depth", f"{whole(row['depth'])} operators"),
            ("bits_per_byte", "Bits per byte", number(row["bits_per_byte"])),
            ("tokens_seen", "Trained on", f"{count(row['tokens_seen'])} tokens"),
            ("train_seconds", "Trained for", duration(row["train_seconds"])),
        )
    ]
    shown = [(label, text) for label, text, is_known in pairs if is_known]
    return element(
        "dl",
        *(element("div", element("dt", label), element("dd", text), class_="pair") for label, text in shown),
        class_="pairs",
    )


def _architecture(row: dict[str, Any]) -> list[Node]:
    parts = parts_of(row)
    if parts.architecture is None:
        return [element("p", complaint, class_="failure") for complaint in parts.complaints]
    drawn = parts.architecture
    return [strip(drawn), element("p", element("code", drawn.pattern), class_="ancestry")]


def _links(row: dict[str, Any], view: View) -> Element:
    chosen = int(row["number"])
    links: list[Node] = [element("a", "Open", href=view.link(page="candidate", trial=chosen))]
    if chosen in view.compare:
        rest = tuple(other for other in view.compare if other != chosen)
        links.append(element("a", "Remove from comparison", href=view.link(compare=rest)))
    elif len(view.compare) < MAX_COMPARED:
        links.append(element("a", "Add to comparison", href=view.link(compare=(*view.compare, chosen))))
    else:
        links.append(element("span", f"The comparison holds {MAX_COMPARED}, which is all it can.", class_="note"))
    if view.compare:
        links.append(element("a", f"Compare {len(view.compare)}", href=view.link(page="compare")))
    return element("p", *links, class_="actions", data_live="")
