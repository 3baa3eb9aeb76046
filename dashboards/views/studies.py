"""Studies over each other: their frontiers on one picture, and the best each one found."""

from collections.abc import Mapping

from dashboards.analysis.selection import candidates, frontier
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.studies import shares_objectives, studies_figure
from dashboards.frame import Results
from dashboards.text import count, is_missing, number, whole
from dashboards.view import View
from dashboards.views.section import section


def studies_section(results: Results, view: View, overlaid: Mapping[str, Results]) -> Element:
    """Return the section of the study in front and those drawn over it."""
    objectives = results.objectives[:2]
    front = view.study or results.title
    studies = {front: results} | {name: study for name, study in overlaid.items() if name != front}
    words = (
        f"Best {objectives[0].label.lower()} so far of each study over the candidates evaluated."
        if len(objectives) == 1
        else "The frontier of each study. They can be compared only where device, workload and proxy are the same."
    )
    return section(
        "studies",
        "Studies over each other",
        words,
        Graph(name="studies", figure=studies_figure(studies), label=words),
        slot("studies", "div", *_table(results, view, studies), class_="wide"),
    )


def _table(results: Results, view: View, studies: Mapping[str, Results]) -> list[Element]:
    titles = ["Study", "Candidates", "On the frontier", *(f"Best {entry.title}" for entry in results.objectives)]
    head = element(
        "tr", *(element("th", title, scope="col", class_="number" if at else "word") for at, title in enumerate(titles))
    )
    bests = {name: [_best(study, entry.column) for entry in results.objectives] for name, study in studies.items()}
    least = [
        min((values[at] for values in bests.values() if values[at] is not None), default=None)  # type: ignore[type-var]  # the missing are left out
        for at in range(len(results.objectives))
    ]
    rows = []
    notes = []
    for name, study in studies.items():
        cells: list[Node] = [
            element("td", whole(len(candidates(study))), class_="number"),
            element("td", whole(len(frontier(study))), class_="number"),
        ]
        for entry, value, best in zip(results.objectives, bests[name], least, strict=True):
            text = count(value) if entry.column == "num_parameters" else number(value)
            is_best = value is not None and value == best and len(studies) > 1
            cells.append(
                element("td", element("b", f"★ best {text}"), class_="number best")
                if is_best
                else element("td", text, class_="number")
            )
        remove: list[Node] = []
        if name in view.overlay:
            rest = tuple(other for other in view.overlay if other != name)
            remove = [" ", element("a", "× remove", href=view.link(overlay=rest), class_="remove", data_live="")]
        rows.append(element("tr", element("th", name, *remove, scope="row"), *cells))
        missing = [entry.label for entry in results.objectives[:2] if not shares_objectives(study, (entry,))]
        if missing:
            notes.append(f"{name} does not know {' and '.join(missing)} and is not drawn.")
        notes += _differences(results, name, study)
    table = element("table", element("thead", head), element("tbody", *rows), class_="plain side-by-side")
    return [table, *(element("p", text, class_="note") for text in notes)]


def _differences(results: Results, name: str, study: Results) -> list[str]:
    """Return what makes a study's figures another matter than those of the study in front."""
    keys = [key for key in ("device", "workload", "proxy", "corpus") if key in results.provenance]
    other = [key for key in keys if study.provenance.get(key) != results.provenance[key]]
    return [f"{name} has another {', '.join(other)}: its figures are another matter."] if other else []


def _best(study: Results, column: str) -> float | None:
    if column not in study.trials.columns:
        return None
    rows = candidates(study)
    value = rows.loc[rows["status"] == "finished", column].min()
    return None if is_missing(value) else float(value)
