"""What per-step weight normalization changes: the same models with it, and with weight decay in its place [NF 2.4].

The paper's gain at 1B parameters and 100 billion tokens is 0.03 nats, and comes late: the baseline is ahead before.
Here small models meet little text; which way it goes is reported, that the comparison is fair is what is claimed. On a
GPU models of at least 100M parameters train on a text that is given.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.document import Document, Options, describe_device, main, versions
from benchmarks.paired_families import plan_for
from benchmarks.paired_training import Arm, add_arguments, claims, compare, figures, write_picture
from benchmarks.resumable import Deadline
from benchmarks.resumable import add_arguments as add_resumable_arguments

ARMS: Final = (
    Arm(name="weight decay", settings={"weight_decay": 0.1}),
    Arm(name="weight normalization", settings={"weight_decay": 0.0, "weight_normalization": True}),
)


def benchmark(options: Options, *, keep: Path, num_processes: int, corpus: str | None, deadline: Deadline) -> Document:
    """Train everything and compare."""
    plan = plan_for(ARMS, device=options.device, full=options.full, corpus=corpus)
    num_processes = 1 if options.device == "cuda" else num_processes
    found = compare(plan, keep=keep, num_processes=num_processes, deadline=deadline)
    write_picture(plan, found, keep / "weight_normalization.html", title="Weight normalization against weight decay")
    return Document(
        benchmark="weight_normalization",
        device=describe_device(options.device, num_threads=1),
        versions=versions("torch", "numpy", "scipy"),
        figures=figures(plan, found),
        claims=claims(plan, found),
    )


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; what was trained is kept and not trained again."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_resumable_arguments(parser, keep=Path("runs/paired-training"))
    add_arguments(parser)
    parsed, rest = parser.parse_known_args(arguments)
    return main(
        partial(
            benchmark,
            keep=parsed.keep,
            num_processes=parsed.processes,
            corpus=parsed.corpus,
            deadline=Deadline.after(parsed.minutes),
        ),
        description=(
            "Models with weight normalization and with weight decay. --keep DIR holds what was trained, --minutes N "
            "stops in time, --processes N train at once on a CPU, --corpus URI is the text (needed on a GPU)."
        ),
        devices=("cpu", "cuda"),
        arguments=rest,
    )


if __name__ == "__main__":
    sys.exit(command())
