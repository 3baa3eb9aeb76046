"""One architecture in full: figures, operators, where time and memory go, how it learned, where it comes from."""

from collections.abc import Mapping
from typing import Any

from dashboards.analysis.lineage import Line, line_of
from dashboards.analysis.selection import frontier, records
from dashboards.analysis.trial_parts import TrialParts, parts_of, readable_curve, undrawn_words
from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.line import line_figure
from dashboards.figures.loss_curves import TrialCurve, loss_curves_figure
from dashboards.figures.memory import memory_figure
from dashboards.figures.operator_bars import OperatorBar, floor_words, operator_bars_figure
from dashboards.frame import MEMORY_GIB, Results
from dashboards.parts.anatomy import anatomy
from dashboards.view import View
from dashboards.views.candidate_figures import candidate_heading
from dashboards.views.chosen import chosen_trial
from dashboards.views.export import export_parts
from dashboards.views.line_table import line_table
from dashboards.views.operator_table import operator_latency_table
from dashboards.views.pricing import Pricing, price_of
from dashboards.views.section import section

MAX_BEHIND = 24
"""Curves of the frontier drawn behind; more would be a grey area."""

NOBODY = TrialParts(architecture=None, latency_ms={}, curve=(), genome=None, complaints=())


def candidate_view(results: Results, view: View, overlaid: Mapping[str, Results]) -> list[Element]:  # noqa: ARG001
    """Return the sections of one candidate."""
    chosen = chosen_trial(results, view)
    row = chosen.rows[0] if chosen.rows else None
    parts = NOBODY if row is None else parts_of(row)
    pricing = price_of(results, parts.architecture)
    line = Line(rows=(), break_words="") if row is None else line_of(results, row["number"])
    complaints = [*chosen.complaints, *parts.complaints, *pricing.complaints]
    return [
        element("section", *candidate_heading(results, view, row, complaints), id="candidate", class_="whole"),
        _anatomy(row, parts),
        _latency(row, parts, pricing),
        _memory(results, pricing),
        _curve(results, row, parts),
        _lineage(results, view, line),
        _export(results, row, parts),
    ]


def _anatomy(row: Mapping[str, Any] | None, parts: TrialParts) -> Element:
    words = "Its operators from the embedding to the head: blocks that repeat, then every operator in order."
    content: list[Node] = (
        [element("p", _no_architecture(row), class_="empty")]
        if parts.architecture is None
        else list(anatomy(parts.architecture))
    )
    return section("anatomy", "Architecture", words, slot("anatomy", "div", *content))


def _no_architecture(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "There is no candidate yet."
    return undrawn_words(row)


def _latency(row: Mapping[str, Any] | None, parts: TrialParts, pricing: Pricing) -> Element:
    words = (
        "The latency predicted from the measured table, split by kind of operator. Fixed parts are the embedding, the "
        "final norm, the head and the launch. The thin bar is the floor: the time in which weights and states can be "
        "read at the device's bandwidth; no kernel is faster."
    )
    label = "Latency by kind of operator, and the floor set by the memory's bandwidth."
    bar = _bar(row, parts, pricing)
    bars = [] if bar is None else [bar]
    said = "" if bar is None else floor_words(bar)
    if parts.latency_ms and not said:
        said = "Its floor is not known"
    return section(
        "candidate-latency",
        "Where its time goes",
        words,
        slot("candidate-floor", "p", f"{said}." if said else "", class_="floor-words"),
        Graph(name="candidate-breakdown", figure=operator_bars_figure(bars), label=label),
        slot("candidate-operators", "div", *([] if bar is None else operator_latency_table(bar, parts.architecture))),
    )


def _bar(row: Mapping[str, Any] | None, parts: TrialParts, pricing: Pricing) -> OperatorBar | None:
    if row is None:
        return None
    return OperatorBar(
        trial=row["number"],
        latency_ms=parts.latency_ms,
        floor_ms=pricing.floor_ms,
        measured_ms=row["measured_latency_ms"],
    )


def _memory(results: Results, pricing: Pricing) -> Element:
    words = "Weights stay; keys and values grow with every token in the cache, recurrent states do not."
    figure = memory_figure(pricing.memory, limit_gib=results.limits.get(MEMORY_GIB.column))
    graph = Graph(name="candidate-memory", figure=figure, label=f"Memory against context length. {words}")
    return section("candidate-memory", "Memory and context", words, graph, is_half=True)


def _curve(results: Results, row: Mapping[str, Any] | None, parts: TrialParts) -> Element:
    words = "Its loss over training. Where it still falls at the end, longer training may rank it otherwise."
    own = [] if row is None else [TrialCurve(trial=row["number"], curve=parts.curve)]
    others = [] if row is None or not parts.curve else _frontier_curves(results, without=row["number"])
    graph = Graph(name="candidate-curve", figure=loss_curves_figure(own, behind=others), label=words)
    return section("candidate-learning", "Learning curve", words, graph, is_half=True)


def _frontier_curves(results: Results, *, without: int) -> list[TrialCurve]:
    """Return curves evenly along the frontier."""
    rows = frontier(results)
    rows = rows[rows["number"] != without]
    rows = rows.iloc[:: max(1, -(-len(rows) // MAX_BEHIND))]
    return [TrialCurve(trial=row["number"], curve=readable_curve(row)) for row in records(rows)]


def _lineage(results: Results, view: View, line: Line) -> Element:
    words = (
        "From the seed down to it: what each step changed, and what that brought. Less is better in every objective."
    )
    graph = Graph(name="candidate-lineage", figure=line_figure(results, line), label="Objectives along its line.")
    table = slot("candidate-line", "div", *line_table(results, view, line))
    return section("candidate-lineage", "Where it comes from", words, graph, table)


def _export(results: Results, row: Mapping[str, Any] | None, parts: TrialParts) -> Element:
    words = "Take it with you: as a file, or by a command."
    content = [] if row is None else export_parts(results, row, parts)
    return section("export", "Export", words, slot("export", "div", *content))
