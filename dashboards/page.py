"""The page: which sections there are, in which order, and what each says about itself.

The report and the live dashboard both show exactly this.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import plotly.graph_objects as go

from dashboards.architecture import frontier_strips
from dashboards.breakdown import breakdown_figure
from dashboards.comparison import comparison_decimals, comparison_figure
from dashboards.curves import curves_figure
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.fidelity import fidelity_figure, scores_figure
from dashboards.frame import Fidelity, Results
from dashboards.headline import headline
from dashboards.lineage import lineage_figure
from dashboards.pareto import pareto_figure
from dashboards.progress import progress_figure
from dashboards.table import candidates_table
from dashboards.text import number
from dashboards.training import training_section

FIGURES: Final[dict[str, Callable[[Results], go.Figure]]] = {
    "pareto": pareto_figure,
    "breakdown": breakdown_figure,
    "progress": progress_figure,
    "comparison": comparison_figure,
    "lineage": lineage_figure,
    "curves": curves_figure,
}
"""Every figure by the name of its graph."""


def page(results: Results) -> Element:
    """Return the whole page below `<body>`."""
    sections = [
        _frontier(results),
        _architectures(results),
        _latency(results),
        _progress(results),
        _comparison(results),
        _lineage(results),
        _curves(results),
        *([] if results.fidelity is None else [_fidelity(results.fidelity)]),
        *([training_section(results.trainings)] if results.trainings else []),
        _table(results),
        _provenance(results),
    ]
    links = [
        element("a", title, href=f"#{name}")
        for name, title in (
            ("frontier", "Frontier"),
            ("architectures", "Architectures"),
            ("latency", "Latency"),
            ("search", "Search"),
            ("evolution", "Evolution"),
            ("lineage", "Lineage"),
            ("curves", "Learning curves"),
            *([] if results.fidelity is None else [("fidelity", "Trust")]),
            *([("training", "Training")] if results.trainings else []),
            ("candidates", "Candidates"),
            ("provenance", "Provenance"),
        )
    ]
    return element(
        "div",
        headline(results),
        _caveats(results),
        element("nav", *links, aria_label="Sections"),
        element("main", *sections),
        class_="page",
    )


def _section(name: str, title: str, explanation: str, *content: Node, is_half: bool = False) -> Element:
    return element(
        "section",
        element("h2", title),
        element("p", explanation, class_="explanation"),
        *content,
        id=name,
        class_="half" if is_half else "whole",
    )


def _graph(name: str, results: Results, label: str) -> Graph:
    return Graph(name=f"graph-{name}", figure=FIGURES[name](results), label=label)


def _caveats(results: Results) -> Element:
    items = [element("ul", *(element("li", text) for text in results.caveats), class_="caveats", role="note")]
    return slot("caveats", "div", *(items if results.caveats else []))


def _frontier(results: Results) -> Element:
    if len(results.objectives) == 1:
        words = f"{results.objectives[0].label} of every candidate in the order they finished. Lower is better."
    else:
        up, across = results.objectives[:2]
        words = (
            f"Each mark is a candidate: lower is better {up.label.lower()}, further left is less "
            f"{across.label.lower()}. Filled marks are the frontier: no other candidate is better in every objective."
        )
    return _section("frontier", "Frontier", words, _graph("pareto", results, words))


def _architectures(results: Results) -> Element:
    words = "The frontier from cheap to dear, one cell an operator, from the embedding to the head."
    return _section("architectures", "Architectures of the frontier", words, frontier_strips(results))


def _latency(results: Results) -> Element:
    words = (
        "The same candidates: the latency predicted from the measured table, split by kind of operator. "
        "Fixed parts are the embedding, the final norm, the head and the launch."
    )
    return _section("latency", "Where the time goes", words, _graph("breakdown", results, words))


def _progress(results: Results) -> Element:
    words = "Hypervolume of everything found so far, and the best candidate so far under it."
    return _section("search", "Search progress", words, _graph("progress", results, words), is_half=True)


def _comparison(results: Results) -> Element:
    words = "The hypervolume of as many random as evolved candidates, each half alone, with the seed noise beside it."
    return _section(
        "evolution",
        "Did evolution beat random search?",
        words,
        slot("comparison", "div", *_verdict(results)),
        _graph("comparison", results, words),
        is_half=True,
    )


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


def _lineage(results: Results) -> Element:
    words = (
        f"{results.objectives[0].label} of the frontier's ancestors, parent to child, in the order of evaluation. "
        "Rest on a mark to read what its mutation changed."
    )
    return _section("lineage", "Lineage of the frontier", words, _graph("lineage", results, words))


def _curves(results: Results) -> Element:
    words = (
        "Loss of the frontier candidates over training, from cheap (light) to dear (dark). "
        "Where curves still cross at the end, the ranking is not settled."
    )
    return _section("curves", "Learning curves", words, _graph("curves", results, words))


def _fidelity(fidelity: Fidelity) -> Element:
    words = (
        f"Candidates trained {fidelity.times:g} times as long: where the order of the marks from left to right is also "
        "that from below, short training ranks as long training does."
    )
    label = f"Rank correlation of each score with perplexity after training {fidelity.times:g} times as long."
    return _section(
        "fidelity",
        "How far short training can be trusted",
        words,
        element("ul", *(element("li", finding) for finding in fidelity.findings)),
        Graph(name="graph-fidelity", figure=fidelity_figure(fidelity), label=words),
        Graph(name="graph-scores", figure=scores_figure(fidelity), label=label),
    )


def _table(results: Results) -> Element:
    return _section("candidates", "Candidates", "Every candidate of the study.", candidates_table(results))


def _provenance(results: Results) -> Element:
    pairs = [
        element("div", element("dt", key), element("dd", value), class_="pair")
        for key, value in results.provenance.items()
    ]
    words = "What these figures were made with. They hold for this device, workload and proxy."
    return _section("provenance", "Provenance", words, slot("provenance", "dl", *pairs, class_="provenance"))
