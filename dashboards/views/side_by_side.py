"""The parts of the comparison that are words: who is compared, their figures, and where their genomes differ."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dashboards.analysis.genome_difference import differing_paths, flattened
from dashboards.analysis.selection import frontier
from dashboards.analysis.trial_parts import TrialParts, undrawn_words
from dashboards.elements import Element, Node, element
from dashboards.frame import Results
from dashboards.parts.architecture import legend, strip
from dashboards.text import common_decimals, count, duration, is_missing, number, whole
from dashboards.view import MAX_COMPARED, View
from dashboards.views.chosen import roles_of

Rows = Sequence[Mapping[str, Any]]

MAX_PATHS = 60


def comparison_controls(results: Results, view: View, rows: Rows, complaints: Sequence[str]) -> list[Element]:
    """Return who may join, and what of the link could not be followed."""
    numbers = [row["number"] for row in rows]
    notes = [element("ul", *(element("li", text) for text in complaints), class_="caveats")]
    fields: list[Node] = []
    if len(numbers) < MAX_COMPARED:
        options = [
            element("option", f"#{trial}", value=",".join(map(str, [*numbers, trial])))
            for trial in frontier(results)["number"].tolist()
            if trial not in numbers
        ]
        if options:
            first = element("option", "of the frontier …", value=",".join(map(str, numbers)), selected="selected")
            fields.append(
                element("label", "Add ", element("select", first, *options), data_view="compare", class_="field")
            )
    field = element("input", type="text", value=",".join(map(str, numbers)), size="16")
    fields.append(element("label", "Trials ", field, data_view="compare", class_="field"))
    if view.trial is not None and view.trial not in numbers:
        fields += _pressed(view, numbers, view.trial)
    if view.compare:
        fields.append(element("a", "As at first", href=view.link(compare=()), class_="button quiet"))
    return [element("div", *fields, class_="controls", data_live=""), *(notes if complaints else [])]


def _pressed(view: View, numbers: Sequence[int], trial: int) -> list[Node]:
    """Return what can be done with a candidate whose mark was pressed."""
    ways: list[Node] = [element("a", f"Look at #{trial}", href=view.link(page="candidate"), class_="button")]
    if len(numbers) < MAX_COMPARED:
        joined = view.link(compare=(*numbers, trial))
        ways.append(element("a", f"Compare #{trial} too", href=joined, class_="button"))
    return ways


def columns_of(results: Results, view: View, rows: Rows, parts: Sequence[TrialParts]) -> list[Element]:
    """Return one column a candidate, with its strip."""
    if not rows:
        return [element("p", "There is no candidate yet.", class_="empty")]
    drawn = [entry.architecture for entry in parts if entry.architecture is not None]
    columns = [_column(results, view, rows, index, parts[index]) for index in range(len(rows))]
    frame = element("div", *columns, class_="compare-columns", style=f"--columns:{len(rows)}")
    return [*([legend(drawn)] if drawn else []), frame]


def figures_table(results: Results, view: View, rows: Rows) -> list[Element]:
    """Return the figures, the best of each row marked."""
    if not rows:
        return []
    objectives = {objective.column: objective for objective in results.objectives}
    body = [
        _figures_row(objective.title, rows, column, _writer(results, column), is_judged=True)
        for column, objective in objectives.items()
    ]
    for title, column, write, is_judged in (
        ("Measured latency (ms)", "measured_latency_ms", number, True),
        ("Bits per byte", "bits_per_byte", number, True),
        ("Parameters", "num_parameters", count, True),
        ("Width", "hidden_size", whole, False),
        ("Depth (operators)", "depth", whole, False),
        ("Tokens trained on", "tokens_seen", count, False),
        ("Time of training", "train_seconds", duration, False),
    ):
        if column not in objectives and any(not is_missing(row[column]) for row in rows):
            body.append(_figures_row(title, rows, column, write, is_judged=is_judged))
    return [element("table", _head(view, rows, "Figure"), element("tbody", *body), class_="plain side-by-side")]


def genome_table(rows: Rows, parts: Sequence[TrialParts]) -> list[Element]:
    """Return the paths at which the genomes differ, or a sentence that says why there are none."""
    known = [(row, flattened(entry.genome)) for row, entry in zip(rows, parts, strict=True) if entry.genome is not None]
    if len(known) < 2:
        return [element("p", "It takes two candidates with a genome to compare them.", class_="empty")]
    genomes = [genome for _, genome in known]
    paths = differing_paths(genomes)
    if not paths:
        return [element("p", "They have the same genome.", class_="empty")]
    head = element(
        "tr",
        element("th", "Part of the genome", scope="col"),
        *(element("th", f"#{row['number']}", scope="col") for row, _ in known),
    )
    body = [_genome_row(path, genomes) for path in paths[:MAX_PATHS]]
    num_same = len({path for genome in genomes for path in genome}) - len(paths)
    notes = (
        [f"{whole(num_same)} further {'part is' if num_same == 1 else 'parts are'} the same in all."]
        if num_same
        else []
    )
    if len(paths) > MAX_PATHS:
        notes.append(f"The first {MAX_PATHS} of {len(paths)} differences are shown.")
    table = element("table", element("thead", head), element("tbody", *body), class_="plain genomes")
    return [element("div", table, class_="wide"), element("p", " ".join(notes), class_="note")]


def _genome_row(path: str, genomes: Sequence[Mapping[str, str]]) -> Element:
    first = genomes[0].get(path)
    cells = []
    for genome in genomes:
        value = genome.get(path)
        words = "absent" if value is None else value
        is_other = value != first
        children: list[Node] = [element("b", "≠ ", element("code", words))] if is_other else [element("code", words)]
        cells.append(element("td", *children, class_="other" if is_other else "same"))
    return element("tr", element("th", element("code", path), scope="row"), *cells)


def _column(results: Results, view: View, rows: Rows, index: int, parts: TrialParts) -> Element:
    row = rows[index]
    numbers = [entry["number"] for entry in rows]
    others = tuple(number for number in numbers if number != row["number"])
    title: list[Node] = [_link(view, row["number"])]
    if others:
        remove = f"Remove #{row['number']} from the comparison"
        link = element(
            "a", "× remove", href=view.link(compare=others), aria_label=remove, class_="remove", data_live=""
        )
        title.append(link)
    roles = ", ".join(roles_of(results, row["number"])) or str(row["status"])
    drawing: Node = (
        element("p", undrawn_words(row), class_="empty") if parts.architecture is None else strip(parts.architecture)
    )
    pattern: list[Node] = [] if parts.architecture is None else [element("code", parts.architecture.pattern)]
    return element(
        "article",
        element("h4", *title),
        element("p", roles, class_="note"),
        drawing,
        element("p", *pattern, class_="pattern"),
        element("p", _origin(row), class_="note"),
    )


def _origin(row: Mapping[str, Any]) -> str:
    words = str(row["origin"])
    if not is_missing(row["parent"]):
        words += f" of #{whole(row['parent'])}"
    return words if is_missing(row["mutation"]) else f"{words}: {row['mutation']}"


def _link(view: View, trial: int) -> Element:
    return element("a", f"#{trial}", href=view.link(page="candidate", trial=trial))


def _head(view: View, rows: Rows, title: str) -> Element:
    cells = [element("th", _link(view, row["number"]), scope="col", class_="number") for row in rows]
    return element("thead", element("tr", element("th", title, scope="col"), *cells))


def _figures_row(title: str, rows: Rows, column: str, write: Callable[[object], str], *, is_judged: bool) -> Element:
    values = [None if is_missing(row[column]) else float(row[column]) for row in rows]
    known = [value for value in values if value is not None]
    best = min(known) if is_judged and len(known) > 1 and len(set(known)) > 1 else None
    cells = []
    for row, value in zip(rows, values, strict=True):
        text = write(row[column])
        if best is not None and value == best:
            cells.append(element("td", element("b", "★ best "), element("b", text), class_="number best"))
            continue
        children: list[Node] = [text]
        if best and value is not None:
            children.insert(
                0, element("small", f"{(value - best) / abs(best):+.1%} ".replace("%", " %").replace("-", "−"))
            )
        cells.append(element("td", *children, class_="number"))
    return element("tr", element("th", title, scope="row"), *cells)


def _writer(results: Results, column: str) -> Callable[[object], str]:
    if column == "num_parameters":
        return count
    decimals = common_decimals(results.trials[column])
    return lambda value: number(value, decimals=decimals)
