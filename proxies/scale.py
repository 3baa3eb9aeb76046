"""From the architecture that is priced to the one that is trained for its score.

The same operators in the same order, always. Latency, memory and parameters price the target itself: a byte vocabulary
would hide its head, and a narrow proxy everything.
"""

from dataclasses import replace
from functools import singledispatch
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
)


def proxy_scale(target: Architecture, *, vocab_size: int, width_fraction: float = 1.0) -> Architecture:
    """Return the target with the vocabulary of the proxy's tokenizer, and narrower where a fraction says so.

    Of a narrower model every width shrinks alike: fewer heads of the same width where their number divides so, else as
    many narrower ones.

    Raises:
        SpecError: a fraction that is none, a width that does not divide so, or an operator whose widths are not known.
    """
    if not 0 < width_fraction <= 1:
        raise SpecError(f"width_fraction must lie in (0, 1]; got {width_fraction!r}. 1 keeps the target's width.")
    if width_fraction == 1:
        return replace(target, vocab_size=vocab_size)
    return replace(
        target,
        hidden_size=_whole(target.hidden_size, width_fraction, "hidden_size"),
        operators=tuple(_narrowed(spec, width_fraction) for spec in target.operators),
        vocab_size=vocab_size,
    )


def _whole(size: int, fraction: float, name: str) -> int:
    scaled = size * fraction
    if abs(scaled - round(scaled)) > 1e-6 or round(scaled) < 1:
        raise SpecError(
            f"{name} × width_fraction must be whole; got {size} × {fraction:g} = {scaled:g}. "
            "Take a fraction that divides every width of the space."
        )
    return round(scaled)


def _heads(num_heads: int, head_dim: int, fraction: float) -> tuple[int, int]:
    """Return heads and their width: fewer of the same width where they divide so, else as many that are narrower."""
    if (num_heads * fraction).is_integer():
        return round(num_heads * fraction), head_dim
    return num_heads, _whole(head_dim, fraction, "head_dim")


def _largest_divisor(number: int, *, most: int) -> int:
    return max(divisor for divisor in range(1, max(1, most) + 1) if number % divisor == 0)


@singledispatch
def _narrowed(spec: Any, fraction: float) -> OperatorSpec:
    raise SpecError(
        f"{type(spec).__name__} cannot be made narrower: which of its widths are which is not known. "
        f"Set proxy.width_fraction to 1; got {fraction:g}."
    )


@_narrowed.register
def _(spec: AttentionSpec, fraction: float) -> OperatorSpec:
    num_heads, head_dim = _heads(spec.num_heads, spec.head_dim, fraction)
    shrunk = head_dim / spec.head_dim
    return replace(
        spec,
        num_heads=num_heads,
        num_kv_heads=_largest_divisor(num_heads, most=round(spec.num_kv_heads * fraction)),
        head_dim=head_dim,
        value_head_dim=_whole(spec.value_dim, shrunk, "value_head_dim"),
    )


@_narrowed.register
def _(spec: DeltaNetSpec, fraction: float) -> OperatorSpec:
    num_heads, head_dim = _heads(spec.num_heads, spec.head_dim, fraction)
    return replace(spec, num_heads=num_heads, head_dim=head_dim)


@_narrowed.register
def _(spec: GatedDeltaNetSpec, fraction: float) -> OperatorSpec:
    num_heads, head_dim = _heads(spec.num_heads, spec.head_dim, fraction)
    return replace(
        spec,
        num_heads=num_heads,
        head_dim=head_dim,
        num_value_heads=num_heads * (spec.value_heads // spec.num_heads),
        value_head_dim=_whole(spec.value_dim, head_dim / spec.head_dim, "value_head_dim"),
    )


@_narrowed.register
def _(spec: Mamba2Spec, fraction: float) -> OperatorSpec:
    num_heads, head_dim = _heads(spec.num_heads, spec.head_dim, fraction)
    groups = _largest_divisor(num_heads, most=spec.num_groups)
    return replace(spec, num_heads=num_heads, head_dim=head_dim, num_groups=groups)


@_narrowed.register
def _(spec: Mamba1Spec, fraction: float) -> OperatorSpec:
    return replace(
        spec,
        inner_size=_whole(spec.inner_size, fraction, "inner_size"),
        dt_rank=max(1, round(spec.dt_rank * fraction)),
    )


@_narrowed.register
def _(spec: HybridHeadSpec, fraction: float) -> OperatorSpec:
    attention, ssm = _narrowed(spec.attention, fraction), _narrowed(spec.ssm, fraction)
    assert isinstance(attention, AttentionSpec)
    assert isinstance(ssm, Mamba1Spec | Mamba2Spec)
    return replace(spec, attention=attention, ssm=ssm)


@_narrowed.register
def _(spec: FFNSpec, fraction: float) -> OperatorSpec:
    return replace(spec, intermediate_size=_whole(spec.intermediate_size, fraction, "intermediate_size"))
