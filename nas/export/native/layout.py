"""Which foreign tensors, side by side, are one of ours; read forwards to export and backwards to import.

Not what is folded into a tensor on the way, which each format says itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One foreign tensor: its rows are rows of ours, its further axes ours flattened or split."""

    name: str
    shape: tuple[int, ...]


Layout = Mapping[str, tuple[Part, ...]]
"""The parts of each of our parameters, by its name in `HybridLM`."""


def to_foreign(weights: Mapping[str, "Tensor"], layout: Layout) -> dict[str, "Tensor"]:
    """Return the foreign tensors that hold our weights, each in memory of its own."""
    import torch

    foreign: dict[str, Tensor] = {}
    for ours, parts in layout.items():
        pieces = torch.split(weights[ours].detach(), [part.shape[0] for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            assert piece.numel() == prod(part.shape), f"{ours}: {tuple(piece.shape)} cannot be {part}"
            foreign[part.name] = piece.reshape(part.shape).clone()
    return foreign


def to_ours(foreign: Mapping[str, "Tensor"], layout: Layout) -> dict[str, "Tensor"]:
    """Return our weights, taken from foreign tensors of the layout's shapes; a single part is not copied."""
    import torch

    weights = {}
    for ours, parts in layout.items():
        rows = [foreign[part.name].reshape(*part.shape[:1], *_flat(part.shape)) for part in parts]
        weights[ours] = rows[0] if len(rows) == 1 else torch.cat(rows)
    return weights


def mismatches(shapes: Mapping[str, tuple[int, ...]], layout: Layout) -> list[str]:
    """Return what is missing, shaped otherwise, or left over, in words."""
    wanted = {part.name: part.shape for part in chain.from_iterable(layout.values())}
    words = [f"{name} is missing" for name in wanted if name not in shapes]
    words += [
        f"{name} must have shape {list(shape)}; got {list(shapes[name])}"
        for name, shape in wanted.items()
        if name in shapes and tuple(shapes[name]) != shape
    ]
    return words + [f"{name} has no place" for name in shapes if name not in wanted]


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes behind the first as one: a convolution of [C, 1, W] is ours as [C, W]."""
    return (prod(shape[1:]),) if len(shape) > 1 else ()
