"""What is on the frontier: the trade-off, what one would pick, one candidate in brief, the frontier's architectures."""

from collections.abc import Mapping

from dashboards.analysis.axes import values_of
from dashboards.analysis.filters import REFERENCES, unknown_words
from dashboards.analysis.plane import ACROSS, UP, Plane, plane_of
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.pareto import pareto_figure
from dashboards.figures.pareto_overlays import undrawn_overlays
from dashboards.figures.pareto_references import beyond_sentence, placed_references
from dashboards.frame import Results
from dashboards.parts.architecture import frontier_strips
from dashboards.view import View
from dashboards.views.frontier_budget import frontier_budget
from dashboards.views.frontier_chosen import frontier_chosen
from dashboards.views.frontier_controls import frontier_controls
from dashboards.views.section import section

WORDS = (
    "Each mark is a candidate. Filled marks are the frontier: no other candidate is better in every objective. "
    "Open marks are dominated; candidates without a score stand in rows above."
)
STRIPS = "The frontier from cheap to dear, one cell an operator, from the embedding to the head."


def frontier_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:
    """Return the sections of the frontier."""
    plane = plane_of(results, view)
    label = "Candidates over two axes, with the frontier. The table holds the same figures."
    graph = Graph(name="pareto", figure=pareto_figure(plane, overlaid), label=label)
    sentences = [element("p", sentence) for sentence in [*_complaints(plane), *_notes(plane, overlaid)]]
    picture = element("div", graph, slot("frontier-notes", "div", *sentences, class_="note"), class_="picture")
    side: list[Node] = [
        slot("frontier-budget", "div", *frontier_budget(plane)),
        slot("frontier-chosen", "div", *frontier_chosen(plane)),
    ]
    return [
        section(
            "frontier",
            "Trade-off",
            WORDS,
            frontier_controls(plane),
            element("div", picture, element("div", *side, class_="side"), class_="frontier-plane"),
        ),
        section("architectures", "Architectures of the frontier", STRIPS, frontier_strips(results, view)),
    ]


def _complaints(plane: Plane) -> list[str]:
    """Return what of the view cannot be shown."""
    complaints = list(plane.axes.complaints)
    if unknown := unknown_words(plane.view):
        complaints.append(f"Nothing is called {', '.join(map(repr, unknown))}, so that nothing is hidden by it.")
    if plane.view.budget is not None and plane.pick_objective is None:
        complaints.append(f"A budget needs an objective to the right; {plane.x.label.lower()} is none.")
    return complaints


def _notes(plane: Plane, overlaid: Mapping[str, Results]) -> list[str]:
    """Return what a reader must know of what the picture leaves out."""
    notes = []
    num_hidden = len(plane.everyone) - len(plane.rows)
    if num_hidden:
        notes.append(f"{num_hidden:,} of {len(plane.everyone):,} candidates are filtered out.")
    if plane.num_without_place:
        notes.append(_without_place(plane))
    if REFERENCES not in plane.view.hide:
        notes.append(beyond_sentence(plane, placed_references(plane)))
    notes += undrawn_overlays(plane, overlaid)
    return [note for note in notes if note]


def _without_place(plane: Plane) -> str:
    """Return how many candidates lack a coordinate, and which one, without those that stand in rows of their own."""
    rows = plane.rows.drop(plane.placed.index).drop(plane.without_score.index)
    values = plane.results.trials.loc[rows.index]
    parts = []
    for place, axis in ((ACROSS, plane.x), (UP, plane.y)):
        lacking = values[rows[place].isna()]
        num_known = int(values_of(lacking, axis.column).notna().sum())
        if len(lacking) > num_known:
            parts.append(f"{len(lacking) - num_known:,} without {axis.label.lower()}")
        if num_known:
            parts.append(f"{num_known:,} with {axis.label.lower()} at zero or below, which a log scale cannot show")
    return f"Not drawn: {', '.join(parts)}; the table lists them." if parts else ""
