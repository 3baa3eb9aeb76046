"""What learned tokens before every sequence change: the same models with meta tokens and without [NF 2.3, App. D].

In the paper 256 of them before 4096 tokens gain 0.003 nats on Mamba2 and 0.007 on DeltaNet at 1B parameters. Here they
are as large a share of shorter sequences. Which way it goes is reported, and no claim; the claim is a fair comparison.
The tokens read are equal, the time is not: the meta tokens are computed with. The arms share the order of the text but
not the initial weights, since the meta tokens draw theirs from the same generator.
"""

import sys
from typing import Final

from benchmarks.document import DeviceName
from benchmarks.paired_command import run_paired
from benchmarks.paired_training import Arm

NUM_META_TOKENS: Final[dict[DeviceName, int]] = {"cpu": 16, "cuda": 128}
"""A sixteenth of a sequence, as in the paper."""


def arms_on(device: DeviceName) -> tuple[Arm, Arm]:
    """Return the models without meta tokens and with as many as suit a device's sequences."""
    number = NUM_META_TOKENS[device]
    return Arm(name="none", settings={}), Arm(name=f"{number} meta tokens", settings={}, num_meta_tokens=number)


if __name__ == "__main__":
    sys.exit(
        run_paired(
            "meta_tokens",
            arms=arms_on,
            title="Meta tokens",
            models="Models with meta tokens and without.",
        )
    )
