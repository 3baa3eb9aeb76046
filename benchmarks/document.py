"""The one document every benchmark prints: figures, claims, device and versions.

What is measured is the benchmark's own affair; here is how it is asked for, shown, and turned into an exit code.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Literal

from search_spaces.errors import NasError, UnavailableError

DeviceName = Literal["cpu", "cuda"]


class IncorrectError(NasError, AssertionError):
    """What was to be timed gives wrong results."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence about a figure, and whether it held."""

    claim: str
    value: float
    bound: float
    holds: bool

    @classmethod
    def at_least(cls, claim: str, *, value: float, bound: float) -> "Claim":
        """Claim that a value is not below a bound."""
        return cls(claim=claim, value=value, bound=bound, holds=value >= bound)

    @classmethod
    def at_most(cls, claim: str, *, value: float, bound: float) -> "Claim":
        """Claim that a value is not above a bound."""
        return cls(claim=claim, value=value, bound=bound, holds=value <= bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one run of one benchmark found."""

    benchmark: str
    device: str
    versions: Mapping[str, str]
    figures: Mapping[str, Figure]
    """By name; a name `subject: aspect` puts the aspects of a subject into one row."""

    claims: Sequence[Claim]

    @property
    def exit_code(self) -> int:
        """0 where every claim holds, else 1."""
        return 0 if all(claim.holds for claim in self.claims) else 1

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {
            "benchmark": self.benchmark,
            "device": self.device,
            "versions": dict(self.versions),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "claims": [asdict(claim) for claim in self.claims],
        }

    def to_text(self) -> str:
        """Return the tables a person reads."""
        claims = [
            (claim.claim, f"{claim.value:.4g}", f"{claim.bound:.4g}", "holds" if claim.holds else "FAILS")
            for claim in self.claims
        ]
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        parts = [f"{self.benchmark} on {self.device}\n{versions}", _figures_table(self.figures)]
        if claims:
            parts.append(_table(("claim", "value", "bound", ""), claims))
        return "\n\n".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    device: DeviceName
    full: bool


def main(
    benchmark: Callable[[Options], Document],
    *,
    description: str,
    devices: Sequence[DeviceName] = ("cpu",),
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a benchmark as a command: the document on standard output, errors in words on standard error.

    Args:
        benchmark: Measures and returns the document.
        description: One line for `--help`.
        devices: What the benchmark can run on, its default first.
        arguments: Command line; that of the process where absent.

    Returns:
        0 where every claim holds, 1 where one does not, or an error's own exit code.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=("cpu", "cuda"), default=devices[0])
    parser.add_argument("--full", action="store_true", help="more shapes and samples; may take longer")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parsed = parser.parse_args(arguments)
    try:
        _require(parsed.device, devices)
        document = benchmark(Options(device=parsed.device, full=parsed.full))
    except NasError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    text = json.dumps(document.to_dict(), indent=2) if parsed.json else document.to_text()
    sys.stdout.write(f"{text}\n")
    return document.exit_code


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python, of installed distributions, and of this repository."""
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return {**found, "commit": _commit()}


def describe_device(name: DeviceName, *, num_threads: int) -> str:
    """Return what ran the benchmark, in words."""
    if name == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"{_processor()}, {num_threads} threads"


def _require(device: DeviceName, devices: Sequence[DeviceName]) -> None:
    if device not in devices:
        raise UnavailableError(f"This benchmark runs on {' or '.join(devices)}; got --device {device}.")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UnavailableError(
                f"--device cuda needs a CUDA device; torch {torch.__version__} sees none here. "
                "Run it on a machine with a GPU, or with --device cpu."
            )


def _commit() -> str:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _figures_table(figures: Mapping[str, Figure]) -> str:
    """Return one row for every subject; a figure called `subject: aspect` becomes a column of its row."""
    rows: dict[str, dict[str, str]] = {}
    for name, figure in figures.items():
        subject, _, aspect = name.rpartition(": ")
        row = rows.setdefault(subject or name, {})
        row[aspect if subject else "value"] = f"{figure.value:.4g} {figure.unit}".rstrip()
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = [(subject, *(row.get(column, "") for column in columns)) for subject, row in rows.items()]
    return _table(("figure", *columns), cells)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    every = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in every) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]
    return "\n".join((lines[0], "  ".join("-" * width for width in widths), *lines[1:]))
