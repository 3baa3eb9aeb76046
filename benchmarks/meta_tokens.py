"""What learned tokens before every sequence change: the same models with meta tokens and without [NF 2.3, App. D].

In the paper 256 of them before 4096 tokens gain 0.003 nats on Mamba2 and 0.007 on DeltaNet at 1B parameters. Here they
are as large a share of shorter sequences. Which way it goes is reported, and no claim; the claim is a fair comparison.
The tokens read are equal, the time is not: the meta tokens are computed with. The arms share the order of the text but
not the initial weights, since the meta tokens draw theirs from the same generator.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.document import DeviceName, Document, Options, describe_device, main, versions
from benchmarks.paired_families import plan_for
from benchmarks.paired_training import Arm, add_arguments, claims, compare, figures, write_picture
from benchmarks.resumable import Deadline
from benchmarks.resumable import add_arguments as add_resumable_arguments

NUM_META_TOKENS: Final[dict[DeviceName, int]] = {"cpu": 16, "cuda": 128}
"""A sixteenth of a sequence, as in the paper."""


def benchmark(options: Options, *, keep: Path, num_processes: int, corpus: str | None, deadline: Deadline) -> Document:
    """Train everything and compare."""
    number = NUM_META_TOKENS[options.device]
    arms = (
        Arm(name="none", settings={}),
        Arm(name=f"{number} meta tokens", settings={}, num_meta_tokens=number),
    )
    plan = plan_for(arms, device=options.device, full=options.full, corpus=corpus)
    num_processes = 1 if options.device == "cuda" else num_processes
    found = compare(plan, keep=keep, num_processes=num_processes, deadline=deadline)
    write_picture(plan, found, keep / "meta_tokens.html", title="Meta tokens")
    return Document(
        benchmark="meta_tokens",
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
            "Models with meta tokens and without. --keep DIR holds what was trained, --minutes N stops in time, "
            "--processes N train at once on a CPU, --corpus URI is the text (needed on a GPU)."
        ),
        devices=("cpu", "cuda"),
        arguments=rest,
    )


if __name__ == "__main__":
    sys.exit(command())
