"""What all operators are told about one forward pass, and what all of them use.

Part of the exported file; see `../merging.py`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

PADDING = -1

KeyValues = tuple[Tensor, Tensor]


@dataclass(kw_only=True, eq=False)
class Call:
    """What all operators are told about one forward pass."""

    positions_BT: Tensor  # noqa: N815  # axes
    """Place in its own sequence of every token, meta tokens included; PADDING for padding, which stands in front."""

    num_pads_B: Tensor | None  # noqa: N815  # axes
    """Columns of padding in front; none where there are none."""

    has_padding: bool
    """Whether these tokens or the keys remembered hold padding."""

    end: int
    """Tokens of a row without padding after this call, meta tokens included."""

    num_meta: int
    use_kernels: bool
    rotations: dict[Any, KeyValues] = field(default_factory=dict)
    key_positions: dict[int, Tensor] = field(default_factory=dict)

    def to(self, device: Any, **kwargs: Any) -> "Call":
        """Return the same call on another device; what operators tell each other stays shared."""
        num_pads_B = None if self.num_pads_B is None else self.num_pads_B.to(device, **kwargs)
        return replace(self, positions_BT=self.positions_BT.to(device, **kwargs), num_pads_B=num_pads_B)

    def without_padding(self, x_BTC: Tensor) -> Tensor:
        """Return x with zeros for padding."""
        if self.num_pads_B is None:
            return x_BTC
        is_padding_BT = self.positions_BT == PADDING
        return x_BTC.masked_fill(is_padding_BT.view(*is_padding_BT.shape, *[1] * (x_BTC.ndim - 2)), 0)

    def runs_kernels(self, x: Tensor) -> bool:
        """Whether kernels of other packages may compute on x [B, T, C]; for one token they gain nothing."""
        is_sequence = x.shape[1] > 1
        return self.use_kernels and is_sequence and x.is_cuda and x.dtype in (torch.bfloat16, torch.float16)


@lru_cache
def kernel(module: str, name: str) -> Callable[..., Any] | None:
    """Return a function of a package that may be missing or broken; none if it is."""
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError, RuntimeError):
        return None
    return found


def wide(x: Tensor) -> Tensor:
    """Return x in float32, or as it is where it is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
