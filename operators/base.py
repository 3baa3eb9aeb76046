"""What every operator offers, and the states it keeps between calls.

Not which operators exist: that is `registry.py`. Nothing here computes anything.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar, final

import torch
from torch import Tensor, nn

from operators.backends import BackendChoice, Phase
from operators.context import SequenceContext
from operators.norms import RMSNorm
from search_spaces.errors import NasError

__all__ = [
    "EmptyState",
    "Operator",
    "SequenceContext",
    "State",
    "StateError",
    "StateRequest",
]


class StateError(NasError, ValueError):
    """A state does not fit what it is used for."""

    exit_code: ClassVar[int] = 3


@dataclass(slots=True, eq=False, kw_only=True)
class State(ABC):  # noqa: B024  # its subclasses differ in fields only
    """Preallocated memory of one operator: its tensors keep their addresses and are updated in place.

    Recurrent states are kept in float32 whatever the model's dtype; convolution states and key-value caches have the
    model's dtype. A new state holds zeros.
    """

    def tensors(self) -> tuple[Tensor, ...]:
        """Return every tensor of the state, and of the states within it."""
        found: list[Tensor] = []
        for field in fields(self):
            match getattr(self, field.name):
                case Tensor() as tensor:
                    found.append(tensor)
                case State() as inner:
                    found.extend(inner.tensors())
        return tuple(found)

    @property
    def num_bytes(self) -> int:
        """Bytes of the floating-point tensors (position counters are not counted)."""
        return sum(tensor.nbytes for tensor in self.tensors() if tensor.is_floating_point())

    def reset_(self) -> None:
        """Return to the new state, in place."""
        for tensor in self.tensors():
            tensor.zero_()


@final
@dataclass(slots=True, eq=False, kw_only=True)
class EmptyState(State):
    """The state of an operator without memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRequest:
    """How large a state must be, and where it lives."""

    batch_size: int

    max_tokens: int
    """Longest sequence, meta tokens included."""

    device: torch.device | str

    dtype: torch.dtype
    """Of caches and convolution histories; recurrent states are float32."""

    num_meta_tokens: int = 0

    source: State | None = None
    """State of the operator whose keys and values this one shares; without it the operator gets a cache of its own."""


S = TypeVar("S", bound=State)


class Operator(nn.Module, ABC, Generic[S]):
    """One mixer, without the norm and the residual around it."""

    sequence_backends: ClassVar[tuple[str, ...]]
    """Implementations of `forward` by name, the one `auto` tries first at the front; each has `reference`, the truth in
    tests."""

    step_backends: ClassVar[tuple[str, ...]]
    """Implementations of `step`, likewise."""

    backends: BackendChoice
    """Which of them this instance runs."""

    @classmethod
    def choose(cls, requested: str, *, excluded: Mapping[str, str] | None = None) -> BackendChoice:
        """Return the choice among the backends of this class.

        Args:
            requested: `auto`, or a backend's name.
            excluded: Backends that cannot do the operator's dimensions, and why.

        Raises:
            UnavailableError: the operator has no such backend, or it cannot run here.
        """
        return BackendChoice(
            operator=cls.__name__,
            requested=requested,
            sequence=cls.sequence_backends,
            step=cls.step_backends,
            excluded=excluded or {},
        )

    @classmethod
    def offered_backends(cls, spec: Any = None) -> tuple[str, ...]:
        """Return every backend of this class, for either phase; of a spec, those that it can have."""
        del spec
        return tuple(dict.fromkeys((*cls.sequence_backends, *cls.step_backends)))

    def backend_at(self, phase: Phase, x: Tensor) -> str:
        """Return the name of what runs a phase on tensors of the device and dtype of x."""
        return self.backends.at(phase, x)

    @abstractmethod
    def forward(self, x_BTD: Tensor, *, state: S | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs for a sequence, or for the next chunk of it where `state` is given.

        The state is read and then moved on in place by the chunk's tokens.
        """

    @abstractmethod
    def step(self, x_BD: Tensor, state: S) -> Tensor:
        """Return the output for one more token, moving `state` on in place without any host synchronisation."""

    def residual_step(self, x_BD: Tensor, state: S, *, norm: RMSNorm) -> Tensor:
        """Return x + step(norm(x)): one more token with the norm and the residual around the operator."""
        return x_BD + self.step(norm(x_BD), state)

    def new_state(
        self,
        *,
        batch_size: int,
        max_tokens: int,
        device: torch.device | str,
        dtype: torch.dtype,
        num_meta_tokens: int = 0,
        source: State | None = None,
    ) -> S:
        """Return an empty state for at most `max_tokens` tokens a sequence, meta tokens included.

        `source` is the state of the operator whose keys and values this one shares, if it shares any.
        """
        return self.make_state(
            StateRequest(
                batch_size=batch_size,
                max_tokens=max_tokens,
                device=device,
                dtype=dtype,
                num_meta_tokens=num_meta_tokens,
                source=source,
            )
        )

    @abstractmethod
    def make_state(self, request: StateRequest) -> S:
        """Return the state `new_state` asks for."""

    @abstractmethod
    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return the weight matrices [C_out, D] that read the residual stream."""

    @abstractmethod
    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the weight matrices [D, C_in] that write to the residual stream."""

    @abstractmethod
    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return every other parameter of two and more axes: convolutions and what lies between the projections."""

    @abstractmethod
    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Draw every parameter anew for a model of `depth` operators."""
