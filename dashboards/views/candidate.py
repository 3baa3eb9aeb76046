"""One architecture in full."""

from collections.abc import Mapping

from dashboards.elements import Element, Graph
from dashboards.figures.curves import curves_figure
from dashboards.figures.lineage import lineage_figure
from dashboards.frame import Results
from dashboards.view import View
from dashboards.views.section import section


def candidate_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of one candidate."""
    lineage = (
        f"{results.objectives[0].label} of the frontier's ancestors, parent to child, in the order of evaluation. "
        "Rest on a mark to read what its mutation changed."
    )
    curves = (
        "Loss of the frontier candidates over training, from cheap (light) to dear (dark). "
        "Where curves still cross at the end, the ranking is not settled."
    )
    return [
        section(
            "lineage",
            "Lineage of the frontier",
            lineage,
            Graph(name="lineage", figure=lineage_figure(results), label=lineage),
        ),
        section("curves", "Learning curves", curves, Graph(name="curves", figure=curves_figure(results), label=curves)),
    ]
