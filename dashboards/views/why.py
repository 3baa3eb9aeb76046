"""Why the good candidates are good, and how far the figures can be trusted."""

from collections.abc import Mapping

from dashboards.elements import Element, Graph, element
from dashboards.figures.breakdown import breakdown_figure
from dashboards.figures.fidelity import fidelity_figure, scores_figure
from dashboards.frame import Fidelity, Results
from dashboards.view import View
from dashboards.views.section import section


def why_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections that explain."""
    words = (
        "The frontier: the latency predicted from the measured table, split by kind of operator. "
        "Fixed parts are the embedding, the final norm, the head and the launch."
    )
    return [
        section(
            "latency",
            "Where the time goes",
            words,
            Graph(name="breakdown", figure=breakdown_figure(results), label=words),
        ),
        *([] if results.fidelity is None else [_fidelity(results.fidelity)]),
    ]


def _fidelity(fidelity: Fidelity) -> Element:
    words = (
        f"Candidates trained {fidelity.times:g} times as long: where the order of the marks from left to right is also "
        "that from below, short training ranks as long training does."
    )
    label = f"Rank correlation of each score with perplexity after training {fidelity.times:g} times as long."
    return section(
        "fidelity",
        "How far short training can be trusted",
        words,
        element("ul", *(element("li", finding) for finding in fidelity.findings)),
        Graph(name="fidelity", figure=fidelity_figure(fidelity), label=words),
        Graph(name="scores", figure=scores_figure(fidelity), label=label),
    )
