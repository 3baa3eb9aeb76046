"""Where the time goes: the latency of each frontier candidate, split by kind of operator."""

import statistics

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.selection import frontier, records
from dashboards.analysis.trial_parts import readable_latency
from dashboards.figures.operator_fill import operator_fill
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Results
from dashboards.operators_style import drawing_order, style_of
from dashboards.text import hover_text, is_missing, number, significant_decimals, whole

MAX_BARS = 24


def breakdown_figure(results: Results) -> go.Figure:
    """Draw one stacked bar a frontier candidate, from fast to slow; the fastest `MAX_BARS` of a long frontier."""
    rows = [(row, readable_latency(row)) for row in records(frontier(results))]
    rows = [(row, parts) for row, parts in rows if parts][:MAX_BARS]
    if not rows:
        return say_instead(
            new_figure(height=200), "No frontier candidate has a latency predicted from measured operators yet."
        )
    figure = new_figure(height=118 + 34 * len(rows))
    names = sorted({name for _, parts in rows for name in parts}, key=drawing_order)
    labels = [_label(row["number"], row["hidden_size"], row["depth"]) for row, _ in rows]
    for name in names:
        style = style_of(name)
        values = [parts.get(name, 0.0) for _, parts in rows]
        totals = [sum(parts.values()) for _, parts in rows]
        figure.add_bar(
            x=values,
            y=labels,
            orientation="h",
            name=hover_text(style.label),
            marker=operator_fill(style),
            hovertext=[
                f"{label}<br><b>{hover_text(style.label)}</b> {number(value)} ms, "
                f"{value / total:.0%} of {number(total)} ms"
                for label, value, total in zip(labels, values, totals, strict=True)
            ],
            hoverinfo="text",
            customdata=[row["number"] for row, _ in rows],
        )
    decimals = significant_decimals(statistics.median(sum(parts.values()) for _, parts in rows))
    totals_written = [
        {
            "x": sum(parts.values()),
            "y": label,
            "text": f"{number(sum(parts.values()), decimals=decimals)} ms",
            "xanchor": "left",
            "xshift": 8,
            "showarrow": False,
            "font": {"size": 12.5, "color": palette.INK},
        }
        for label, (_, parts) in zip(labels, rows, strict=True)
    ]
    longest = max(sum(parts.values()) for _, parts in rows)
    figure.update_layout(
        # All at once: Plotly checks every annotation anew with each one that is added.
        annotations=totals_written,
        barmode="stack",
        bargap=0.34,
        legend={"traceorder": "normal"},
        margin={"l": 24, "r": 24, "t": 56, "b": 52},
        xaxis={
            "title": {"text": "Predicted latency (ms)"},
            "autorangeoptions": {"minallowed": 0, "maxallowed": longest * 1.12},
        },
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "ticks": "",
            "tickfont": {"color": palette.INK, "size": 12.5},
        },
    )
    return figure


def _label(trial: int, hidden_size: object, depth: object) -> str:
    # A bare number would be taken for a numeric axis; the trailing space keeps the label off the bar.
    shape = [
        f"{whole(value)} {unit}"
        for value, unit in ((hidden_size, "wide"), (depth, "operators"))
        if not is_missing(value)
    ]
    return f"<b>#{trial}</b>  {' · '.join(shape)} "
