"""The frontier of a run as a table for the terminal."""

from typing import Any

from nas.candidates import Record
from nas.cli.text_table import text_table
from nas.run import Run
from search_spaces import Architecture


def frontier_table(run: Run) -> str:
    """Return the frontier, fastest first."""
    frontier = run.study.history().frontier()
    if not frontier:
        return "No candidate has finished."
    measured_ms = run.measured_ms()
    # Only a search that bounds memory knows it.
    memory = ["memory GiB"] if "memory_gib" in run.config.bounds else []
    recall = ["recall error"] if "recall_error" in run.config.objectives else []
    heads = ["trial", "latency ms", "measured ms", "perplexity", *recall, "bits/byte", "parameters", *memory, "width"]
    return text_table(
        [*heads, "operators"],
        [_cells(record, measured_ms.get(record.candidate.fingerprint)) for record in frontier],
        right=[True] * len(heads) + [False],
    )


def _perplexity(record: Record[Any]) -> str:
    spread = "" if record.deviation is None else f" ±{record.deviation:.3f}"
    return f"{record.objectives['perplexity']:.3f}{spread}"


def _cells(record: Record[Any], measured_ms: float | None) -> list[str]:
    target = Architecture.from_dict(record.candidate.description["target"])
    return [
        str(record.number),
        f"{record.objectives['latency_ms']:.2f}",
        "–" if measured_ms is None else f"{measured_ms:.2f}",
        _perplexity(record),
        *([f"{record.objectives['recall_error']:.3f}"] if "recall_error" in record.objectives else []),
        f"{record.details['bits_per_byte']:.3f}",
        f"{record.objectives['num_parameters']:,.0f}",
        *([f"{record.objectives['memory_gib']:.3f}"] if "memory_gib" in record.objectives else []),
        str(target.hidden_size),
        target.pattern,
    ]
