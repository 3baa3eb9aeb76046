"""Where the frontier comes from: its ancestors, parent to child, over the order in which they were evaluated.

Not the whole family tree: candidates that led to no frontier member are left as faint marks.
"""

from typing import Any

import plotly.graph_objects as go

from dashboards import palette
from dashboards.frame import Results
from dashboards.hover import describe
from dashboards.marks import SYMBOLS
from dashboards.selection import evaluated, frontier, records
from dashboards.text import is_missing
from dashboards.theme import new_figure, say_instead

_Rows = list[dict[str, Any]]


def lineage_figure(results: Results) -> go.Figure:
    """Draw the first objective over the order of evaluation, with lines from parents to children."""
    figure = new_figure(height=420)
    quality = results.objectives[0]
    rows = [row | {"position": index + 1} for index, row in enumerate(records(evaluated(results)))]
    drawn = {row["number"]: row for row in rows if row["status"] == "finished" and not is_missing(row[quality.column])}
    members = [number for number in frontier(results)["number"].tolist() if number in drawn]
    links = _links(members, drawn)
    if not links:
        return say_instead(figure, "No frontier candidate has a parent yet.")
    family = {number for link in links for number in link} | set(members)
    x: list[float | None] = []
    y: list[float | None] = []
    for parent, child in links:
        x += [drawn[parent]["position"], drawn[child]["position"], None]
        y += [drawn[parent][quality.column], drawn[child][quality.column], None]
    figure.add_scatter(
        x=x, y=y, mode="lines", line={"width": 1.6, "color": palette.ACCENT}, opacity=0.55, name="parent to child",
        hoverinfo="skip",
    )  # fmt: skip
    groups = (
        (
            "other candidates",
            [row for number, row in drawn.items() if number not in family],
            "-open",
            palette.FAINT,
            6.5,
        ),
        ("ancestors", [drawn[number] for number in sorted(family - set(members))], "-open", palette.ACCENT, 9),
        ("frontier", [drawn[number] for number in members], "", palette.ACCENT, 11),
    )
    for name, group, suffix, colour, size in groups:
        _add_marks(figure, group, name=name, suffix=suffix, colour=colour, size=size, results=results)
    figure.update_layout(
        margin={"l": 72, "r": 24, "t": 56, "b": 56},
        xaxis={"title": {"text": "Candidates evaluated"}},
        yaxis={"title": {"text": quality.title}, "type": "log" if quality.log else "linear"},
    )
    return figure


def _links(members: list[int], drawn: dict[int, dict[str, Any]]) -> list[tuple[int, int]]:
    """Return every (parent, child) on the way from the frontier back to where its lines began."""
    links: dict[tuple[int, int], None] = {}
    for member in members:
        child = member
        while not is_missing(drawn[child]["parent"]):
            parent = int(drawn[child]["parent"])
            if parent not in drawn or (parent, child) in links:
                break
            links[(parent, child)] = None
            child = parent
    return list(links)


def _add_marks(
    figure: go.Figure, rows: _Rows, *, name: str, suffix: str, colour: str, size: float, results: Results
) -> None:
    if not rows:
        return
    quality = results.objectives[0]
    is_frontier = name == "frontier"
    figure.add_scatter(
        x=[row["position"] for row in rows],
        y=[row[quality.column] for row in rows],
        mode="markers+text" if is_frontier else "markers",
        name=name,
        text=[f"#{row['number']}" for row in rows] if is_frontier else None,
        textposition="bottom center",
        textfont={"size": 12, "color": palette.ACCENT},
        cliponaxis=False,
        marker={
            "symbol": [SYMBOLS[row["origin"]] + suffix for row in rows],
            "size": size,
            "color": colour,
            "line": {"width": 1.4, "color": palette.SURFACE if is_frontier else colour},
        },
        hovertext=[describe(row, results=results) for row in rows],
        hoverinfo="text",
    )
