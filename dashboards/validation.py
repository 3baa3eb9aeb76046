"""Predicted against measured latency, one point a model: how far a latency table can be trusted.

A page of its own, written where a table is checked; what the figures mean was decided there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go

from dashboards import palette
from dashboards.elements import Element, Graph, element
from dashboards.equality import add_equality
from dashboards.standalone import standalone_html, write_page
from dashboards.theme import new_figure

BAND = 0.1
"""Half the width of the shaded band around equality, as a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedAndMeasured:
    """One model."""

    name: str
    hidden_size: int
    predicted_ms: float
    measured_ms: float

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted_ms / self.measured_ms - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPicture:
    """A check of a table, with the words that go with it."""

    title: str
    device: str
    workload: str
    findings: Sequence[str]
    """Sentences with the figures found."""

    models: Sequence[PredictedAndMeasured]


def write_validation_page(picture: ValidationPicture, path: Path) -> None:
    """Write the page to `path`; a reader sees the old file or the new one."""
    write_page(validation_html(picture), path)


def validation_html(picture: ValidationPicture) -> str:
    """Return the page as text."""
    label = f"Predicted against measured milliseconds of {len(picture.models)} models."
    tree = element(
        "div",
        element("h1", picture.title),
        element("p", f"{picture.workload}, on {picture.device}", class_="explanation"),
        element(
            "main",
            element(
                "section",
                element("ul", *(element("li", finding) for finding in picture.findings)),
                Graph(name="graph-validation", figure=validation_figure(picture.models), label=label),
                _table(picture.models),
                class_="whole",
            ),
        ),
        class_="page",
    )
    return standalone_html(tree, title=picture.title)


def validation_figure(models: Sequence[PredictedAndMeasured]) -> go.Figure:
    """Draw the models, the line where prediction and measurement are equal, and ten percent around it."""
    figure = new_figure(height=560)
    every = [value for model in models for value in (model.predicted_ms, model.measured_ms)]
    ends = (0.9 * min(every), 1.1 * max(every))
    add_equality(figure, ends=ends, band=BAND, name=f"within {BAND:.0%}")
    figure.add_scatter(
        x=[model.measured_ms for model in models],
        y=[model.predicted_ms for model in models],
        mode="markers",
        marker={"size": 9, "color": palette.ACCENT, "line": {"width": 1, "color": palette.SURFACE}},
        customdata=[[model.name, model.hidden_size, 100 * model.error] for model in models],
        hovertemplate="%{customdata[0]}, width %{customdata[1]}<br>measured %{x:.4~g} ms, predicted %{y:.4~g} ms"
        "<br>error %{customdata[2]:+.1f} %<extra></extra>",
        name="one model",
    )
    axis = {"type": "log", "exponentformat": "none"}
    figure.update_layout(
        xaxis={**axis, "title": {"text": "Measured, ms"}}, yaxis={**axis, "title": {"text": "Predicted, ms"}}
    )
    return figure


def _table(models: Sequence[PredictedAndMeasured]) -> Element:
    """Return every model as a row, the worst predicted first."""
    headings = (("Model", "word"), ("Width", "number"), ("Predicted, ms", "number"), ("Measured, ms", "number"))
    head = element(
        "tr",
        *(
            element("th", element("button", title, type="button"), scope="col", class_=kind)
            for title, kind in (*headings, ("Error, %", "number"))
        ),
    )
    rows = [
        element(
            "tr",
            element("td", model.name, class_="word"),
            *(
                element("td", text, class_="number", data_value=text)
                for text in (
                    str(model.hidden_size),
                    f"{model.predicted_ms:.3f}",
                    f"{model.measured_ms:.3f}",
                    f"{100 * model.error:+.1f}",
                )
            ),
        )
        for model in sorted(models, key=lambda model: -abs(model.error))
    ]
    table = element("table", element("thead", head), element("tbody", *rows), class_="sortable")
    return element("div", table, class_="table-frame", tabindex="0", role="region", aria_label="All models")
