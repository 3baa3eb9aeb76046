"""A bound on the memory of generating, as one line of a configuration: `128k tokens within 22 GiB in bf16`.

What a model takes is arithmetic, in `latency/memory.py`.
"""

import re
from dataclasses import dataclass
from typing import Final

from latency.memory import GIB, inference_memory
from latency.working_set import Device
from latency.workload import Dtype
from nas.errors import ConfigError
from search_spaces import Architecture

_DTYPES: Final[dict[str, Dtype]] = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float32",
}

_LINE: Final = re.compile(
    r"(?P<tokens>[1-9]\d*)(?P<kilo>k?) tokens(?: of batch (?P<batch>[1-9]\d*))? "
    r"within (?P<gib>\d+(?:\.\d+)?) GiB in (?P<dtype>\w+)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryBound:
    """How long and how many sequences must fit into how much memory."""

    max_tokens: int
    """Longest sequence, prompt included."""

    batch_size: int
    gib: float
    dtype: Dtype

    @classmethod
    def parse(cls, line: str) -> "MemoryBound":
        """Read a line such as `128k tokens of batch 4 within 22 GiB in bf16`; a k is 1024.

        Raises:
            ConfigError: the line says something else.
        """
        found = _LINE.fullmatch(line.strip())
        if found is None or found["dtype"] not in _DTYPES or not float(found["gib"]):
            raise ConfigError(
                "constraints.memory must read 'N tokens within X GiB in bf16', N as in 4096 or 128k, perhaps with "
                f"'of batch B' behind the tokens, and bf16, fp16 or fp32; got {line!r}."
            )
        return cls(
            max_tokens=int(found["tokens"]) * (1024 if found["kilo"] else 1),
            batch_size=int(found["batch"] or 1),
            gib=float(found["gib"]),
            dtype=_DTYPES[found["dtype"]],
        )

    def gib_of(self, architecture: Architecture, *, device: Device) -> float:
        """Return what the architecture takes for such sequences, to be held against `gib`.

        Raises:
            SpecError: it has an operator of which it is not known what it holds.
        """
        memory = inference_memory(
            architecture, max_tokens=self.max_tokens, dtype=self.dtype, batch_size=self.batch_size, device=device
        )
        return memory.total / GIB
