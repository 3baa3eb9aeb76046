"""What per-step weight normalization changes: the same models with it, and with weight decay in its place [NF 2.4].

The paper's gain at 1B parameters and 100 billion tokens is 0.03 nats, and comes late: the baseline is ahead before.
Here small models meet little text; which way it goes is reported, that the comparison is fair is what is claimed. On a
GPU models of at least 100M parameters train on a text that is given.
"""

import sys
from typing import Final

from benchmarks.paired_command import run_paired
from benchmarks.paired_training import Arm

ARMS: Final = (
    Arm(name="weight decay", settings={"weight_decay": 0.1}),
    Arm(name="weight normalization", settings={"weight_decay": 0.0, "weight_normalization": True}),
)


if __name__ == "__main__":
    sys.exit(
        run_paired(
            "weight_normalization",
            arms=lambda _: ARMS,
            title="Weight normalization against weight decay",
            models="Models with weight normalization and with weight decay.",
        )
    )
