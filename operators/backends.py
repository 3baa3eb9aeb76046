"""The implementations an operator may have: what each needs, whether it can run here, and which one runs.

Torch-free, so that `nas doctor` can list them. Which backends an operator has, and in which order `auto` tries them, is
said by its class (`base.py`); what they compute lies in the operator's own folder.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from search_spaces.errors import UnavailableError, near_miss

if TYPE_CHECKING:
    from torch import Tensor

AUTO: Final = "auto"
REFERENCE: Final = "reference"

Phase = Literal["sequence", "step"]
"""A whole (chunk of a) sequence, or one token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One family of implementations."""

    name: str
    description: str

    devices: frozenset[str] | None = None
    """Device types it runs on; none means all that torch has."""

    dtypes: frozenset[str] = frozenset({"float64", "float32", "bfloat16", "float16"})
    """Dtypes it computes in."""

    package: str = ""
    """What must be importable; empty for what torch alone runs."""

    distribution: str = ""
    """The name under which that package is installed."""

    has_interpreter: bool = False
    """Whether it also runs on a CPU, for tests, where `TRITON_INTERPRET=1` is set; `auto` never does that."""

    def missing_package(self) -> str | None:
        """Return why the backend cannot run on any device, or none."""
        if not self.package or find_spec(self.package) is not None:
            return None
        return f"{self.distribution} is not installed; pip install 'hybridnas[gpu]'"

    def obstacle(self, *, device: str, dtype: str, by_name: bool = False) -> str | None:
        """Return why the backend, its package present, cannot run on a device type in a dtype, or none.

        Args:
            device: As in `torch.device.type`.
            dtype: As in `str(torch.dtype)` without the prefix.
            by_name: Whether it was asked for by name, which lets an interpreter stand in for the device.
        """
        interpreted = self.has_interpreter and by_name and device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
        if self.devices is not None and device not in self.devices and not interpreted:
            return f"it runs on {' or '.join(sorted(self.devices))}, not on {device}"
        if dtype not in self.dtypes:
            return f"it computes in {' or '.join(sorted(self.dtypes))}, not in {dtype}"
        return None


_CUDA: Final = frozenset({"cuda"})

BACKENDS: Final[Mapping[str, Backend]] = {
    backend.name: backend
    for backend in (
        Backend(name=REFERENCE, description="plain torch, the truth in tests"),
        Backend(name="chunked", description="our chunked forms of recurrent mixers, in torch"),
        Backend(name="sdpa", description="torch's fused attention: FlashAttention, cuDNN or memory-efficient on a GPU"),
        Backend(
            name="triton",
            description="our fused one-token steps and weight normalization",
            devices=_CUDA,
            dtypes=frozenset({"float32", "bfloat16", "float16"}),
            package="triton",
            distribution="triton",
            has_interpreter=True,
        ),
        Backend(
            name="fla",
            description="kernels and layers of flash-linear-attention",
            devices=_CUDA,
            dtypes=frozenset({"bfloat16", "float16"}),
            package="fla",
            distribution="flash-linear-attention",
        ),
        Backend(
            name="mamba_ssm",
            description="kernels of mamba-ssm",
            devices=_CUDA,
            # In float32 its Triton kernels would round the operands of products to TF32.
            dtypes=frozenset({"bfloat16", "float16"}),
            package="mamba_ssm",
            distribution="mamba-ssm",
        ),
    )
}
"""Every backend by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """What one operator runs: `auto`, or the backend its user named."""

    operator: str
    """Name of the operator, for messages."""

    requested: str

    sequence: tuple[str, ...]
    """Backends for sequences, the one `auto` tries first at the front."""

    step: tuple[str, ...]
    """Backends for one token, in the same order."""

    excluded: Mapping[str, str] = field(default_factory=dict)
    """Backends that cannot run: those whose package is missing, and those that cannot do the operator's dimensions."""

    def __post_init__(self) -> None:
        every = tuple(dict.fromkeys((*self.sequence, *self.step)))
        missing = {name: reason for name in every if (reason := BACKENDS[name].missing_package()) is not None}
        # Kept, so that a call asks no file system: calls are traced by torch.compile.
        object.__setattr__(self, "excluded", {**self.excluded, **missing})
        if self.requested == AUTO:
            return
        if self.requested not in every:
            hint = near_miss(self.requested, (AUTO, *every))
            raise UnavailableError(f"backend must be one that {self.operator} has; got {self.requested!r}.{hint}")
        if self.requested in self.excluded:
            raise UnavailableError(self._refusal(self.excluded[self.requested]))

    def at(self, phase: Phase, x: "Tensor") -> str:
        """Return the backend that runs a phase on tensors of the device and dtype of x.

        A backend asked for by name runs the phases it has; another phase is left to `auto`.

        Raises:
            UnavailableError: the backend asked for has the phase but cannot run there, or none can.
        """
        device, dtype = x.device.type, str(x.dtype).removeprefix("torch.")
        offered = self.sequence if phase == "sequence" else self.step
        if self.requested in offered:
            obstacle = BACKENDS[self.requested].obstacle(device=device, dtype=dtype, by_name=True)
            if obstacle is not None:
                able = [name for name in offered if self._obstacle(name, device=device, dtype=dtype) is None]
                remedy = f"Here would work: {', '.join(able)}." if able else "It has no other backend."
                raise UnavailableError(f"{self._refusal(obstacle)} {remedy}")
            return self.requested
        for name in offered:
            if self._obstacle(name, device=device, dtype=dtype) is None:
                return name
        obstacles = (f"{name}: {self._obstacle(name, device=device, dtype=dtype)}" for name in offered)
        raise UnavailableError(f"{self.operator} has no backend for {dtype} on {device}. {'; '.join(obstacles)}.")

    def _obstacle(self, name: str, *, device: str, dtype: str) -> str | None:
        return self.excluded.get(name) or BACKENDS[name].obstacle(device=device, dtype=dtype)

    def _refusal(self, obstacle: str) -> str:
        return f"{self.operator} cannot run backend {self.requested!r} here: {obstacle}."
