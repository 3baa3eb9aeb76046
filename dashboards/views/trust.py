"""How far the figures can be trusted: longer training against short, and the latency table against whole models."""

import shlex
from collections.abc import Sequence

from dashboards.elements import Element, Graph, Node, element, slot
from dashboards.figures.fidelity import fidelity_figure, scores_figure
from dashboards.figures.validation import validation_figure
from dashboards.frame import Fidelity, Results, ValidationPicture
from dashboards.views.section import section


def trust_sections(results: Results) -> list[Element]:
    """Return both sections; what was never measured is one sentence and the command that measures it."""
    directory = results.directory or "DIR"
    trained = f"nas proxy fidelity {shlex.quote(directory)}"
    timed = f"nas latency validate --table {shlex.quote(f'{directory}/latency.parquet')} --space PRESET"
    return [
        _fidelity(results.fidelity)
        if results.fidelity is not None
        else section(
            "fidelity",
            "How far short training can be trusted",
            "No candidate was trained longer, so it is not known how well short training ranks.",
            slot("fidelity-command", "p", *_command("This measures it:", trained)),
            is_half=True,
        ),
        _validation(results.validation)
        if results.validation is not None
        else section(
            "validation",
            "How far predicted latency can be trusted",
            "The latency table was never checked against whole models.",
            slot("validation-command", "p", *_command("On the table's device, this checks it:", timed)),
            is_half=True,
        ),
    ]


def _command(words: str, command: str) -> list[Node]:
    return [f"{words} ", element("code", command)]


def _fidelity(fidelity: Fidelity) -> Element:
    words = (
        f"Candidates trained {fidelity.times:g} times as long: where the order of the marks from left to right is also "
        "that from below, short training ranks as long training does."
    )
    label = f"Rank correlation of each score with perplexity after training {fidelity.times:g} times as long."
    return section(
        "fidelity",
        "How far short training can be trusted",
        words,
        slot("fidelity-findings", "div", _list(fidelity.findings)),
        Graph(name="fidelity", figure=fidelity_figure(fidelity), label=words),
        Graph(name="scores", figure=scores_figure(fidelity), label=label),
    )


def _validation(picture: ValidationPicture) -> Element:
    words = (
        f"{picture.workload}, on {picture.device}. Each mark is a whole model that was timed: on the line, prediction "
        "and measurement are equal."
    )
    return section(
        "validation",
        "How far predicted latency can be trusted",
        words,
        slot("validation-findings", "div", _list(picture.findings)),
        Graph(name="validation", figure=validation_figure(picture.models), label=words),
    )


def _list(findings: Sequence[str]) -> Element:
    return element("ul", *(element("li", finding) for finding in findings), class_="findings")
