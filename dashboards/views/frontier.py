"""What is on the frontier: the trade-off, the candidate that was picked, and the frontier's architectures."""

from collections.abc import Mapping

from dashboards.architecture import frontier_strips
from dashboards.elements import Element, Graph
from dashboards.figures.pareto import pareto_figure
from dashboards.frame import Results
from dashboards.view import View
from dashboards.views.section import section


def frontier_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of the frontier."""
    if len(results.objectives) == 1:
        words = f"{results.objectives[0].label} of every candidate in the order they finished. Lower is better."
    else:
        up, across = results.objectives[:2]
        words = (
            f"Each mark is a candidate: lower is better {up.label.lower()}, further left is less "
            f"{across.label.lower()}. Filled marks are the frontier: no other candidate is better in every objective."
        )
    graph = Graph(name="pareto", figure=pareto_figure(results), label=words)
    strips = "The frontier from cheap to dear, one cell an operator, from the embedding to the head."
    return [
        section("frontier", "Frontier", words, graph),
        section("architectures", "Architectures of the frontier", strips, frontier_strips(results)),
    ]
