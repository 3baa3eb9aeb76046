"""Trainings of whole models: a section of a run's report, and a page of its own for trainings anywhere."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dashboards.elements import Element, Graph, Node, element
from dashboards.figures.training_curves import behaviour_figure, loss_figure
from dashboards.frame import TrainingRun
from dashboards.standalone import standalone_html, write_page
from dashboards.text import MISSING, count, duration, is_missing, number
from dashboards.views.section import section

LOSS_WORDS = (
    "Thick lines with marks are validation loss, thin ones training loss. Press a name to hide its curves, "
    "twice to see it alone. Runs that cross late were not settled before."
)
BEHAVIOUR_WORDS = "What the optimizer met on the way, and how fast it went. The small pictures zoom together."
TABLE_WORDS = "The trainings drawn, with the last validation of each."


def write_training_page(runs: Sequence[TrainingRun], path: Path) -> None:
    """Write a page of trainings to `path`; a reader sees the old file or the new one."""
    write_page(training_html(runs), path)


def training_html(runs: Sequence[TrainingRun]) -> str:
    """Return the page as text."""
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} trainings"
    links = (("loss", "Loss"), ("behaviour", "Behaviour"), ("trainings", "Trainings"))
    loss, behaviour, table = training_parts(runs)
    tree = element(
        "div",
        element(
            "header",
            element("p", "HybridNAS", class_="brand"),
            element("div", element("h1", title), class_="title"),
            element("p", _summary(runs), class_="summary"),
            element("div", *_facts(runs), class_="facts"),
        ),
        element("nav", *(element("a", words, href=f"#{name}") for name, words in links), aria_label="Sections"),
        element(
            "main",
            _section("loss", "Loss", LOSS_WORDS, loss),
            _section("behaviour", "How the training went", BEHAVIOUR_WORDS, behaviour),
            _section("trainings", "Trainings", TABLE_WORDS, table),
        ),
        class_="page",
    )
    return standalone_html(tree, title=title)


def training_section(runs: Sequence[TrainingRun]) -> Element:
    """Return the section of a run's report."""
    loss, behaviour, table = training_parts(runs, is_together=True)
    words = f"{LOSS_WORDS} {BEHAVIOUR_WORDS}"
    return section("training", "Training", words, loss, behaviour, table)


def training_parts(runs: Sequence[TrainingRun], *, is_together: bool = False) -> tuple[Graph, Graph, Element]:
    """Return the two pictures and the table.

    Args:
        runs: to draw.
        is_together: whether the pictures stand under each other, so that one legend is enough for both.
    """
    names = ", ".join(run.name for run in runs)
    return (
        Graph(name="training-loss", figure=loss_figure(runs), label=f"Training and validation loss of {names}."),
        Graph(
            name="training-behaviour",
            figure=behaviour_figure(runs, has_legend=not is_together),
            label=f"Gradient norm, weight norm, learning rate and tokens a second of {names}.",
        ),
        _table(runs),
    )


def _section(name: str, title: str, words: str, *content: Node) -> Element:
    return element(
        "section",
        element("h2", title),
        element("p", words, class_="explanation"),
        *content,
        id=name,
        class_="whole",
    )


def _summary(runs: Sequence[TrainingRun]) -> str:
    return " · ".join(dict.fromkeys(run.device for run in runs if run.device))


def _facts(runs: Sequence[TrainingRun]) -> list[Node]:
    best = min(runs, key=lambda run: _last(run, "validation_loss", missing=float("inf")))
    fastest = max(runs, key=lambda run: _median(run, "tokens_per_s"))
    seen = sum(_last(run, "tokens", missing=0.0) for run in runs)
    facts = [
        (
            "Validation loss",
            number(_last(best, "validation_loss")),
            f"{best.name}, perplexity {number(_last(best, 'perplexity'))}, {number(_last(best, 'bits_per_byte'))} "
            "bits per byte",
        ),
        ("Tokens seen", count(seen), "in all" if len(runs) > 1 else f"of {count(best.planned_tokens)}"),
        ("Tokens a second", count(_median(fastest, "tokens_per_s")), f"{_utilisation(fastest)}, median"),
        ("Time", duration(sum(_last(run, "seconds", missing=0.0) for run in runs)), "of training"),
    ]
    return [
        element(
            "div",
            element("span", label, class_="label"),
            element("strong", value),
            element("span", f"{fastest.name}, {note}" if label == "Tokens a second" else note, class_="note"),
            class_="fact",
        )
        for label, value, note in facts
    ]


def _utilisation(run: TrainingRun) -> str:
    share = _median(run, "mfu")
    return f"{100 * share:.1f} % of the device's peak" if share > 0 else "utilisation not known"


def _table(runs: Sequence[TrainingRun]) -> Element:
    headings = (
        ("Name", "word"),
        ("State", "word"),
        ("Parameters", "number"),
        ("Tokens", "number"),
        ("Validation", "number"),
        ("Perplexity", "number"),
        ("Bits/byte", "number"),
        ("Tokens/s", "number"),
        ("MFU", "number"),
        ("Time", "number"),
        ("Model", "pattern"),
    )
    head = element(
        "tr",
        *(element("th", element("button", title, type="button"), scope="col", class_=kind) for title, kind in headings),
    )
    table = element("table", element("thead", head), element("tbody", *(_row(run) for run in runs)), class_="sortable")
    return element("div", table, class_="table-frame", tabindex="0", role="region", aria_label="All trainings")


def _row(run: TrainingRun) -> Element:
    share = _median(run, "mfu")
    cells: tuple[tuple[str, object], ...] = (
        (count(run.num_parameters), run.num_parameters),
        (_seen(run), _last(run, "tokens")),
        *((number(_last(run, name)), _last(run, name)) for name in _LOSSES),
        (count(_median(run, "tokens_per_s")), _median(run, "tokens_per_s")),
        (f"{100 * share:.1f} %" if share > 0 else MISSING, share),
        (duration(_last(run, "seconds")), _last(run, "seconds")),
    )
    return element(
        "tr",
        element("th", run.name, scope="row", class_="word"),
        element("td", run.state, class_="word"),
        *(
            element("td", text, class_="number", data_sort="" if is_missing(value) else str(value))
            for text, value in cells
        ),
        element("td", run.model, class_="pattern"),
    )


def _seen(run: TrainingRun) -> str:
    seen = _last(run, "tokens", missing=0.0)
    return count(seen) if seen >= run.planned_tokens else f"{count(seen)} of {count(run.planned_tokens)}"


_LOSSES = ("validation_loss", "perplexity", "bits_per_byte")


def _last(run: TrainingRun, column: str, *, missing: float = float("nan")) -> float:
    if column not in run.events:
        return missing
    known = run.events[column].dropna()
    return float(known.iloc[-1]) if len(known) else missing


def _median(run: TrainingRun, column: str) -> float:
    """Return the median of a column; 0 where it is not known."""
    known = run.events[column].dropna() if column in run.events else pd.Series(dtype="float64")
    return float(known.median()) if len(known) else 0.0
