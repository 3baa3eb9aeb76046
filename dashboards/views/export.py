"""What a reader takes along of a candidate: its specification, its figures, and the commands that go on with it.

The files are links that hold what they save, so that a report opened from disk offers them too.
"""

import csv
import io
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dashboards.analysis.trial_parts import TrialParts
from dashboards.elements import Element, Node, element
from dashboards.frame import Results
from dashboards.text import is_missing
from search_spaces.errors import NasError

FIGURES = (
    "number", "status", "origin", "parent", "mutation", "fingerprint", "pattern", "hidden_size", "depth",
    "num_parameters", "bits_per_byte", "validation_loss", "measured_latency_ms", "deviation", "num_evaluations",
    "expected", "tokens_seen", "tokens_planned", "train_seconds", "num_attempts", "is_frontier", "failure_kind",
    "failure_message",
)  # fmt: skip
"""Columns of the table that is saved; objectives follow the number, latencies by operator come last."""


def export_parts(results: Results, row: Mapping[str, Any], parts: TrialParts) -> list[Element]:
    """Return the files and the commands of a candidate."""
    number = row["number"]
    links: list[Node] = []
    notes = []
    if results.spec_text is not None and parts.architecture is not None:
        try:
            text = results.spec_text(parts.architecture)
        except NasError as error:
            notes.append(element("p", f"Its specification cannot be written: {error}", class_="note"))
        else:
            links.append(_file(f"trial-{number}.yaml", text, "application/yaml", "Specification (YAML)"))
    links.append(_file(f"trial-{number}.csv", figures_csv(results, row, parts), "text/csv", "Its figures (CSV)"))
    return [element("div", *links, class_="files"), *notes, *_commands(results, row, has_spec=len(links) > 1)]


def figures_csv(results: Results, row: Mapping[str, Any], parts: TrialParts) -> str:
    """Return the figures of a candidate as a table of one row."""
    objectives = [entry.column for entry in results.objectives]
    first, *rest = FIGURES
    columns = dict.fromkeys([first, *objectives, *rest])
    values = {column: "" if is_missing(row[column]) else row[column] for column in columns}
    values |= {f"latency_ms {name}": value for name, value in parts.latency_ms.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(values)
    writer.writerow(_harmless(value) for value in values.values())
    return text.getvalue()


def commands_of(results: Results, trial: int, *, has_spec: bool) -> list[tuple[str, str]]:
    """Return (what it does, command); nothing for a study that has no directory."""
    if not results.directory:
        return []
    run = shlex.quote(results.directory)
    commands = [("Everything about it", f"nas show {run} {trial}")]
    if has_spec:
        spec = f"trial-{trial}.yaml"
        commands += [
            ("Its specification with where it comes from", f"nas export {run} --trial {trial} --output {spec}"),
            ("Train it in full", f"nas train {run} --trial {trial} --recipe nemotron-flash"),
            ("The same from the file", f"nas train {spec} --recipe nemotron-flash --output trial-{trial}-trained"),
            (
                "A model for transformers; without a training its weights are random",
                f"nas export {run} --trial {trial} --format hf --random-weights --output trial-{trial}-hf",
            ),
        ]
    return commands


def _commands(results: Results, row: Mapping[str, Any], *, has_spec: bool) -> list[Element]:
    commands = commands_of(results, row["number"], has_spec=has_spec)
    if not commands:
        words = "This study has no run directory that the commands nas show, export and train could be given."
        return [element("p", words, class_="note")]
    pairs: list[Node] = []
    for words, command in commands:
        button = element(
            "button", "Copy", type="button", data_copy=command, aria_label=f"Copy {command}", class_="button quiet"
        )
        pairs += [element("dt", words), element("dd", element("code", command), button)]
    return [element("dl", *pairs, class_="commands")]


def _file(name: str, text: str, kind: str, words: str) -> Element:
    address = f"data:{kind};charset=utf-8,{quote(text)}"
    return element("a", words, href=address, download=name, class_="button")


def _harmless(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
