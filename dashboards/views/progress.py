"""Whether the search is running, and whether it is getting better."""

from collections.abc import Mapping
from functools import partial

from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.comparison import comparison_decimals, comparison_figure
from dashboards.figures.progress import progress_figure
from dashboards.frame import Results
from dashboards.pages.training import training_section
from dashboards.text import number
from dashboards.view import View
from dashboards.views.section import section


def progress_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of progress."""
    progress = "Hypervolume of everything found so far, and the best candidate so far under it."
    comparison = (
        "The hypervolume of as many random as evolved candidates, each half alone, with the seed noise beside it."
    )
    return [
        section(
            "search",
            "Search progress",
            progress,
            Graph(name="progress", figure=progress_figure(results), label=progress),
            is_half=True,
        ),
        section(
            "evolution",
            "Did evolution beat random search?",
            comparison,
            slot("comparison", "div", *_verdict(results)),
            Graph(name="comparison", figure=comparison_figure(results), label=comparison),
            is_half=True,
        ),
        *([training_section(results.trainings)] if results.trainings else []),
    ]


def _verdict(results: Results) -> list[Node]:
    comparison = results.comparison
    if comparison is None:
        return []
    write = partial(number, decimals=comparison_decimals(comparison))
    pairs = (
        (f"Random, {comparison.num_each}", write(comparison.random_hypervolume)),
        (f"Evolved, {comparison.num_each}", write(comparison.evolved_hypervolume)),
        ("Difference", f"{'+' if comparison.difference > 0 else ''}{write(comparison.difference)}"),
        ("Seed noise", "not measured" if comparison.noise is None else f"± {write(comparison.noise)}"),
    )
    cells = [element("div", element("dt", label), element("dd", value)) for label, value in pairs]
    return [element("p", comparison.sentence, class_="verdict"), element("dl", *cells, class_="comparison")]
