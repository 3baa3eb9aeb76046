"""The head of the candidate's view: which one it is, how to go to another, and its figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dashboards.analysis.selection import frontier
from dashboards.elements import Element, Node, element, slot
from dashboards.frame import Results
from dashboards.text import common_decimals, count, duration, is_missing, number, whole
from dashboards.view import MAX_COMPARED, View
from dashboards.views.chosen import default_trials, roles_of


def candidate_heading(
    results: Results, view: View, row: Mapping[str, Any] | None, complaints: Sequence[str]
) -> list[Element]:
    """Return what stands first: name and way to others, what went wrong, figures."""
    title = "No candidate yet" if row is None else f"Candidate #{row['number']}"
    words: list[Node] = [] if row is None else _story(results, view, row)
    notes: list[Element] = [] if row is None else _failure(row)
    if complaints:
        notes.append(element("ul", *(element("li", text) for text in complaints), class_="caveats"))
    return [
        slot("candidate-heading", "div", element("div", element("h3", title), element("p", *words), class_="who"),
             *_chooser(results, view, row), class_="candidate-heading"),
        slot("candidate-notes", "div", *notes),
        slot("candidate-figures", "dl", *([] if row is None else candidate_figures(results, row)), class_="facts"),
    ]  # fmt: skip


def candidate_figures(results: Results, row: Mapping[str, Any]) -> list[Element]:
    """Return the figures of a candidate that are known, one tile each."""
    tiles = []
    for index, objective in enumerate(results.objectives):
        note = ""
        if index == 0 and not is_missing(row["deviation"]):
            note = f"± {number(row['deviation'])} over {whole(row['num_evaluations'])} seeds"
        elif index == 0 and not is_missing(row["expected"]):
            note = f"{number(row['expected'])} expected; stopped early"
        limit = results.limits.get(objective.column)
        if limit is not None:
            note = f"{note}; limit {limit:g}".removeprefix("; ")
        decimals = common_decimals(results.trials[objective.column])
        # Parameters are told in the short form everywhere.
        value = (
            count(row[objective.column])
            if objective.column == "num_parameters"
            else number(row[objective.column], decimals=decimals)
        )
        tiles.append((objective.label, f"{value} {objective.unit}".rstrip(), note))
    names = {objective.column for objective in results.objectives}
    further: list[tuple[str, str, Callable[[object], str], str]] = [
        ("Measured latency", "measured_latency_ms", _milliseconds, _predicted(row)),
        ("Bits per byte", "bits_per_byte", number, ""),
        ("Parameters", "num_parameters", count, ""),
        ("Tokens trained on", "tokens_seen", count, _planned(row)),
        ("Time of training", "train_seconds", duration, ""),
        ("Attempts", "num_attempts", whole, ""),
    ]
    tiles += [
        (label, write(row[column]), note)
        for label, column, write, note in further
        if column not in names and not is_missing(row[column])
    ]
    return [
        element(
            "div",
            element("dt", label, class_="label"),
            element("dd", element("strong", value), *([element("span", note, class_="note")] if note else [])),
            class_="fact",
        )
        for label, value, note in tiles
    ]


def _milliseconds(value: object) -> str:
    return f"{number(value)} ms"


def _predicted(row: Mapping[str, Any]) -> str:
    """Return how far the prediction was from the measurement; empty where one of them is not known."""
    predicted, measured = row.get("latency_ms"), row["measured_latency_ms"]
    if is_missing(predicted) or is_missing(measured):
        return ""
    share = float(str(predicted)) / float(measured) - 1
    return f"prediction off by {share:+.1%}".replace("-", "−").replace("%", " %")


def _planned(row: Mapping[str, Any]) -> str:
    return "" if is_missing(row["tokens_planned"]) else f"of {count(row['tokens_planned'])} planned"


def _story(results: Results, view: View, row: Mapping[str, Any]) -> list[Node]:
    """Return status, place on the frontier and origin, in words."""
    status = {"finished": "Finished", "running": "Still running", "failed": "Failed", "stopped": "Stopped early"}
    words = [status.get(row["status"], "Breaks a limit"), *roles_of(results, row["number"])]
    nodes: list[Node] = [f"{', '.join(words)} · "]
    if not is_missing(row["repeat_of"]):
        return [*nodes, "evaluates ", _to(view, int(row["repeat_of"])), " again under another seed"]
    nodes.append({"seed": "given as a seed", "random": "drawn at random"}.get(row["origin"], str(row["origin"])))
    if not is_missing(row["parent"]):
        nodes += [" of ", _to(view, int(row["parent"]))]
    if not is_missing(row["mutation"]):
        nodes.append(f": {row['mutation']}")
    return nodes


def _failure(row: Mapping[str, Any]) -> list[Element]:
    if is_missing(row["failure_kind"]) and is_missing(row["failure_message"]):
        return []
    kind = "" if is_missing(row["failure_kind"]) else str(row["failure_kind"]).replace("_", " ")
    message = "" if is_missing(row["failure_message"]) else str(row["failure_message"])
    return [element("div", element("strong", f"Failed: {kind}"), element("p", message), class_="alarm")]


def _chooser(results: Results, view: View, row: Mapping[str, Any] | None) -> list[Node]:
    """Return the ways to other candidates."""
    if row is None:
        return []
    members = frontier(results)["number"].tolist()
    ways: list[Node] = []
    if row["number"] in members:
        place = members.index(row["number"])
        if place > 0:
            ways.append(_step(view, members[place - 1], f"← #{members[place - 1]}", "The next cheaper of the frontier"))
        ways.append(element("span", f"{place + 1} of {len(members)} on the frontier", class_="place"))
        if place < len(members) - 1:
            ways.append(_step(view, members[place + 1], f"#{members[place + 1]} →", "The next dearer of the frontier"))
    elif members:
        ways.append(_step(view, members[0], f"To the frontier: #{members[0]} →", "The cheapest of the frontier"))
    field = element("input", type="text", value=str(row["number"]), size="6")
    ways.append(element("label", "Trial ", field, data_view="trial", class_="field"))
    ways.append(element("a", "Compare it", href=_comparison(results, view, row["number"]), class_="button"))
    return [element("div", *ways, class_="controls", data_live="")]


def _comparison(results: Results, view: View, trial: int) -> str:
    """Return the link that adds a candidate to the comparison; a full one gives up its last."""
    before = view.compare or tuple(row["number"] for row in default_trials(results))
    others = [number for number in before if number != trial][: MAX_COMPARED - 1]
    return view.link(page="compare", compare=(trial, *others))


def _step(view: View, trial: int, words: str, title: str) -> Element:
    return element("a", words, href=view.link(trial=trial), title=title, class_="button")


def _to(view: View, trial: int) -> Element:
    return element("a", f"#{trial}", href=view.link(page="candidate", trial=trial))
