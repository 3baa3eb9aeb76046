"""Candidates side by side, the frontier's curves and lineage, and studies over each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboards.analysis.trial_parts import TrialParts, parts_of
from dashboards.elements import Element, Graph, slot
from dashboards.figures.curves import curves_figure
from dashboards.figures.lineage import lineage_figure
from dashboards.figures.loss_curves import TrialCurve, loss_curves_figure
from dashboards.figures.operator_bars import OperatorBar, operator_bars_figure
from dashboards.frame import Results
from dashboards.view import View
from dashboards.views.chosen import chosen_trials
from dashboards.views.pricing import Pricing, price_of
from dashboards.views.section import section
from dashboards.views.side_by_side import columns_of, comparison_controls, figures_table, genome_table
from dashboards.views.studies import studies_section

Rows = Sequence[Mapping[str, Any]]


def compare_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:
    """Return the sections of the comparison."""
    chosen = chosen_trials(results, view)
    rows = chosen.rows
    parts = [parts_of(row) for row in rows]
    prices = [price_of(results, entry.architecture) for entry in parts]
    complaints = [*chosen.complaints, *(text for entry in parts for text in entry.complaints)]
    complaints += [text for price in prices for text in price.complaints]
    return [
        *([studies_section(results, view, overlaid)] if overlaid else []),
        _side_by_side(results, view, rows, parts, complaints),
        _genomes(rows, parts),
        _breakdown(rows, parts, prices),
        _curves(rows, parts),
        *_frontier(results),
    ]


def _side_by_side(
    results: Results, view: View, rows: Rows, parts: Sequence[TrialParts], complaints: Sequence[str]
) -> Element:
    words = "Up to four candidates. ★ marks the best of them in each row."
    return section(
        "compare",
        "Side by side",
        words,
        slot("compare-controls", "div", *comparison_controls(results, view, rows, complaints)),
        slot("compare-columns", "div", *columns_of(results, view, rows, parts), class_="compared"),
        slot("compare-figures", "div", *figures_table(results, view, rows), class_="wide"),
    )


def _genomes(rows: Rows, parts: Sequence[TrialParts]) -> Element:
    words = "Where their genomes differ; ≠ marks what is not as in the first of them."
    return section(
        "compare-genomes", "Difference of genomes", words, slot("genomes", "div", *genome_table(rows, parts))
    )


def _breakdown(rows: Rows, parts: Sequence[TrialParts], prices: Sequence[Pricing]) -> Element:
    words = "Predicted latency by kind of operator on one axis, and under each bar the least the bandwidth allows."
    bars = [
        OperatorBar(
            trial=row["number"],
            latency_ms=entry.latency_ms,
            floor_ms=price.floor_ms,
            measured_ms=row["measured_latency_ms"],
        )
        for row, entry, price in zip(rows, parts, prices, strict=True)
    ]
    graph = Graph(name="compare-breakdown", figure=operator_bars_figure(bars), label=words)
    return section("compare-latency", "Where their time goes", words, graph)


def _curves(rows: Rows, parts: Sequence[TrialParts]) -> Element:
    words = "Loss over training. Where lines cross at the end, the ranking is not settled."
    curves = [TrialCurve(trial=row["number"], curve=entry.curve) for row, entry in zip(rows, parts, strict=True)]
    graph = Graph(name="compare-curves", figure=loss_curves_figure(curves), label=words)
    return section("compare-learning", "How they learned", words, graph)


def _frontier(results: Results) -> list[Element]:
    lineage = (
        f"{results.objectives[0].label} of the frontier's ancestors, parent to child, in the order of evaluation. "
        "Rest on a mark to read what its mutation changed; press it to choose the candidate."
    )
    curves = (
        "Loss of the frontier candidates over training, from cheap to dear. "
        "Where curves still cross at the end, the ranking is not settled."
    )
    lineage_graph = Graph(name="lineage", figure=lineage_figure(results), label=lineage)
    curves_graph = Graph(name="curves", figure=curves_figure(results), label=curves)
    return [
        section("lineage", "Where the frontier comes from", lineage, lineage_graph, is_half=True),
        section("curves", "How the whole frontier learned", curves, curves_graph, is_half=True),
    ]
