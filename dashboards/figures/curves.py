"""Learning curves of the frontier: did short training still rank its members apart when it stopped?"""

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.selection import frontier, records
from dashboards.analysis.trial_parts import readable_curve
from dashboards.figures.loss_curves import DASHES, points_of
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Results

MAX_CURVES = 12


def curves_figure(results: Results) -> go.Figure:
    """Draw validation loss over tokens, and training loss where no validation was made along the way.

    Of a long frontier, `MAX_CURVES` members evenly along it.
    """
    figure = new_figure(height=420)
    rows = [(row, readable_curve(row)) for row in records(frontier(results))]
    rows = [(row, curve) for row, curve in rows if curve]
    if not rows:
        return say_instead(figure, "No frontier candidate has a learning curve yet.")
    if len(rows) > MAX_CURVES:
        rows = [rows[round(index * (len(rows) - 1) / (MAX_CURVES - 1))] for index in range(MAX_CURVES)]
    for index, ((row, curve), colour) in enumerate(zip(rows, palette.ramp(len(rows)), strict=True)):
        points, kind = points_of(curve)
        figure.add_scatter(
            x=[tokens for tokens, _ in points],
            y=[loss for _, loss in points],
            mode="lines",
            line={"color": colour, "width": 2.2, "dash": DASHES[index % len(DASHES)]},
            name=f"#{row['number']}",
            customdata=[row["number"]] * len(points),
            hovertemplate=f"<b>#{row['number']}</b> {kind} %{{y:.4f}}<br>after %{{x:.4~s}} tokens<extra></extra>",
        )
    figure.update_layout(
        hovermode="closest",
        margin={"l": 72, "r": 24, "t": 56, "b": 56},
        legend={"itemwidth": 38},
        xaxis={"title": {"text": "Training tokens"}},
        yaxis={"title": {"text": "Loss (nats per token)"}},
    )
    return figure
