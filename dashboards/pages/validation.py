"""Predicted against measured latency, one row a model: how far a latency table can be trusted.

A page of its own, written where a table is checked; what the figures mean was decided there.
"""

from collections.abc import Sequence
from pathlib import Path

from dashboards.elements import Element, Graph, element
from dashboards.figures.validation import validation_figure
from dashboards.frame import PredictedAndMeasured, ValidationPicture
from dashboards.standalone import standalone_html, write_page


def write_validation_page(picture: ValidationPicture, path: Path) -> None:
    """Write the page to `path`; a reader sees the old file or the new one."""
    write_page(validation_html(picture), path)


def validation_html(picture: ValidationPicture) -> str:
    """Return the page as text."""
    label = f"Predicted against measured milliseconds of {len(picture.models)} models."
    tree = element(
        "div",
        element(
            "header",
            element("h1", picture.title),
            element("p", f"{picture.workload}, on {picture.device}", class_="explanation"),
        ),
        element(
            "main",
            element(
                "section",
                element("ul", *(element("li", finding) for finding in picture.findings)),
                Graph(name="validation", figure=validation_figure(picture.models), label=label),
                _table(picture.models),
                class_="whole",
            ),
        ),
        class_="page",
    )
    return standalone_html(tree, title=picture.title)


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
                element("td", text, class_="number", data_sort=text)
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
