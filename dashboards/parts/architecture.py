"""Architectures drawn as strips: one coloured cell an operator, with its letter, from the embedding to the head.

Long architectures wrap and their cells shrink, so that four operators and a hundred and eighteen are both readable.
"""

from collections.abc import Mapping
from typing import Any

from dashboards.analysis.selection import frontier, records
from dashboards.analysis.trial_parts import parts_of
from dashboards.elements import Element, Node, element, slot
from dashboards.figures.hover import ancestry
from dashboards.frame import Results
from dashboards.operators_style import drawing_order, operator_name, style_of
from dashboards.text import common_decimals, count, number, whole
from dashboards.view import View
from search_spaces import (
    Architecture,
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    FlaSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
)

MAX_STRIPS = 40


def frontier_strips(results: Results, view: View) -> Element:
    """Return the frontier's strips from cheap to dear, or a line that says there is nothing to draw."""
    members = frontier(results)
    members = members[members["architecture"].notna()]
    read = [(row, parts_of(row)) for row in records(members.head(MAX_STRIPS))]
    if not read:
        words = "No frontier candidate has an architecture to draw."
        return slot("strips", "div", element("p", words, class_="empty"))
    drawn = [parts.architecture for _, parts in read if parts.architecture is not None]
    decimals = {entry.column: common_decimals(results.trials[entry.column]) for entry in results.objectives}
    rows = []
    for row, parts in read:
        if parts.architecture is None:
            rows.append(element("p", " ".join(parts.complaints), class_="note"))
            continue
        link = view.link(page="candidate", trial=int(row["number"]))
        rows.append(_row(row, parts.architecture, results, decimals=decimals, link=link))
    children: list[Node] = [legend(drawn), *rows]
    if len(members) > MAX_STRIPS:
        children.append(element("p", f"The first {MAX_STRIPS} of {len(members)} are drawn.", class_="note"))
    return slot("strips", "div", *children)


def strip(architecture: Architecture) -> Element:
    """Return one architecture as a row of cells."""
    density = "roomy" if architecture.depth <= 40 else "tight" if architecture.depth <= 80 else "dense"
    cells: list[Node] = []
    if architecture.num_meta_tokens:
        words = f"{architecture.num_meta_tokens} meta tokens before every sequence"
        cells.append(element("span", f"{architecture.num_meta_tokens} meta", class_="end", title=words))
    for index, spec in enumerate(architecture.operators):
        style = style_of(operator_name(spec))
        cells.append(
            element(
                "span",
                style.letter,
                class_="cell",
                style=style.css,
                title=f"{index + 1}. {describe_operator(spec)}",
            )
        )
    head = "tied head" if architecture.tie_embeddings else "own head"
    words = f"vocabulary {architecture.vocab_size:,}, " + (
        "the head is the embedding" if architecture.tie_embeddings else "the head has weights of its own"
    )
    # Where the row wraps, the head takes the last operator along: it would look forlorn alone.
    cells[-1:] = [element("span", *cells[-1:], element("span", head, class_="end", title=words), class_="last")]
    return element(
        "div",
        *cells,
        class_=f"strip {density}",
        role="img",
        aria_label=f"{architecture.depth} operators: {architecture.pattern}",
    )


def legend(architectures: list[Architecture]) -> Element:
    """Return the letters that occur, with their names."""
    names = {operator_name(spec) for architecture in architectures for spec in architecture.operators}
    entries = []
    for name in sorted(names, key=drawing_order):
        style = style_of(name)
        swatch = element("span", style.letter, class_="cell", style=style.css)
        entries.append(element("span", swatch, style.label, class_="entry"))
    return element("div", *entries, class_="strip-legend")


def describe_operator(spec: OperatorSpec) -> str:
    """Return an operator with its dimensions in words."""
    label = style_of(operator_name(spec)).label
    match spec:
        case AttentionSpec():
            words = f"{label}: {spec.num_heads} heads of {spec.head_dim}, {spec.num_kv_heads} for keys and values"
            if spec.window is not None:
                words += f", window {spec.window:,}"
            if spec.shares_kv_with is not None:
                words += f", reads the keys and values of operator {spec.shares_kv_with + 1}"
            return words
        case Mamba2Spec():
            return f"{label}: {spec.num_heads} heads of {spec.head_dim}, state {spec.state_size}"
        case Mamba1Spec():
            return f"{label}: inner width {spec.inner_size:,}, state {spec.state_size}"
        case DeltaNetSpec():
            return f"{label}: {spec.num_heads} heads of {spec.head_dim}"
        case GatedDeltaNetSpec():
            values = f"{spec.value_heads} of {spec.value_dim} for values"
            return f"{label}: {spec.num_heads} heads of {spec.head_dim}, {values}"
        case FlaSpec():
            return f"{label}: {spec.layer}"
        case FFNSpec():
            return f"{label}: {spec.intermediate_size:,} wide, {spec.activation}"
        case HybridHeadSpec():
            return f"{label}: {describe_operator(spec.attention)} beside {describe_operator(spec.ssm)}"


def _row(
    row: dict[str, Any],
    architecture: Architecture,
    results: Results,
    *,
    decimals: Mapping[str, int | None],
    link: str,
) -> Element:
    figures = []
    for objective in results.objectives:
        text = number(row[objective.column], decimals=decimals[objective.column])
        value = f"{text} {objective.unit}".rstrip()
        figures.append(element("span", element("b", value), element("small", objective.label.lower()), class_="figure"))
    figures.append(
        element("span", element("b", count(row["num_parameters"])), element("small", "parameters"), class_="figure")
    )
    name = element(
        "div",
        element(
            "a", element("span", "Open ", class_="unseen", data_live=""), f"#{row['number']}", href=link, class_="trial"
        ),
        element("span", f"{whole(architecture.hidden_size)} wide"),
        element("span", f"{architecture.depth} operators"),
        class_="name",
    )
    middle = element(
        "div",
        strip(architecture),
        element("div", element("code", architecture.pattern), element("span", ancestry(row)), class_="pattern"),
    )
    return element("article", name, middle, element("div", *figures, class_="figures"), class_="strip-row")
