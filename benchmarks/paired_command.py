"""The command of a benchmark that compares two ways to train the same models; what those are is the benchmark's own."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.document import DeviceName, Document, Options, describe_device, main, versions
from benchmarks.paired_families import plan_for
from benchmarks.paired_training import Arm, add_arguments, claims, compare, figures, write_picture
from benchmarks.resumable import Deadline
from benchmarks.resumable import add_arguments as add_resumable_arguments


def run_paired(
    name: str,
    *,
    arms: Callable[[DeviceName], tuple[Arm, Arm]],
    title: str,
    models: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Train everything, compare, and return the exit code; what was trained is kept and not trained again.

    Args:
        name: the benchmark's.
        arms: what is compared, on a device.
        title: of the picture.
        models: which models are compared, for `--help`.
        arguments: of the command line.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_resumable_arguments(parser, keep=Path("runs/paired-training"))
    add_arguments(parser)
    parsed, rest = parser.parse_known_args(arguments)
    return main(
        partial(
            _benchmark,
            name=name,
            arms=arms,
            title=title,
            keep=parsed.keep,
            num_processes=parsed.processes,
            corpus=parsed.corpus,
            deadline=Deadline.after(parsed.minutes),
        ),
        description=(
            f"{models} --keep DIR holds what was trained, --minutes N stops in time, --processes N train at once on a "
            "CPU, --corpus URI is the text (needed on a GPU)."
        ),
        devices=("cpu", "cuda"),
        arguments=rest,
    )


def _benchmark(
    options: Options,
    *,
    name: str,
    arms: Callable[[DeviceName], tuple[Arm, Arm]],
    title: str,
    keep: Path,
    num_processes: int,
    corpus: str | None,
    deadline: Deadline,
) -> Document:
    plan = plan_for(arms(options.device), device=options.device, full=options.full, corpus=corpus)
    num_processes = 1 if options.device == "cuda" else num_processes
    found = compare(plan, keep=keep, num_processes=num_processes, deadline=deadline)
    write_picture(plan, found, keep / f"{name}.html", title=title)
    return Document(
        benchmark=name,
        device=describe_device(options.device, num_threads=1),
        versions=versions("torch", "numpy", "scipy"),
        figures=figures(plan, found),
        claims=claims(plan, found),
    )
