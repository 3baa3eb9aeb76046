"""Default dimensions: what a letter becomes at a width.

With no argument these rules reproduce the operators of Nemotron-Flash; its paper does not state them as rules. A space
may change any of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from math import gcd
from typing import get_args

from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError, near_miss
from search_spaces.pattern import is_letter, near_letter, parse_pattern
from search_spaces.specs import (
    FLA_PREFIX,
    Activation,
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    FlaSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Rules that turn a letter and a width D into a spec."""

    head_dim: int | None = None
    """Width of attention heads and those of both DeltaNets; none means 128, or 64 where D < 1024."""

    query_heads_per_kv_head: int = 4
    """KV heads are the largest divisor of the heads not above max(1, heads / this)."""

    window: int | None = None
    """Tokens seen by sliding-window attention; none means 512."""

    rope_theta: float | None = None
    qk_norm: bool = False
    conv_width: int = 4
    mamba_expand: int = 2
    """Inner width of Mamba over D."""

    mamba_head_dim: int = 64
    mamba_state_size: int = 128
    mamba_num_groups: int = 1
    ffn_expand: float = 3.0
    """Intermediate width of the FFN over D."""

    ffn_activation: Activation = "swiglu"

    def __post_init__(self) -> None:
        if not isinstance(self.qk_norm, bool):
            raise SpecError(f"Dimensions.qk_norm must be true or false; got {self.qk_norm!r}.")
        if self.ffn_activation not in get_args(Activation):
            hint = near_miss(str(self.ffn_activation), get_args(Activation))
            raise SpecError(f"Dimensions.ffn_activation is unknown: {self.ffn_activation!r}.{hint}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("qk_norm", "ffn_activation") or (value is None and field.default is None):
                continue
            is_real = field.name in ("ffn_expand", "rope_theta")
            if isinstance(value, bool) or not isinstance(value, int | float if is_real else int) or value <= 0:
                what = "a positive number" if is_real else "a positive integer"
                raise SpecError(f"Dimensions.{field.name} must be {what}; got {value!r}.")
            if is_real:
                object.__setattr__(self, field.name, float(value))

    def check_used(self, letters: Iterable[str]) -> None:
        """Check that no rule is set for operators that are not offered.

        Raises:
            SpecError: a window without sliding-window attention.
        """
        if self.window is not None and "w" not in (offered := tuple(dict.fromkeys(letters))):
            raise SpecError(
                f"dimensions.window={self.window} needs sliding-window attention, letter 'w'; got the letters "
                f"{', '.join(offered)}. Offer 'w', or leave the window out."
            )

    def operator(self, letter: str, *, hidden_size: int) -> OperatorSpec:
        """Return the operator a letter stands for at width `hidden_size`.

        Raises:
            SpecError: an unknown letter, or heads that do not divide the width.
        """
        return _operator(self, letter, hidden_size)

    def operators(self, letters: Iterable[str], *, hidden_size: int) -> tuple[OperatorSpec, ...]:
        """Return the operators of several letters at one width."""
        order = tuple(letters)
        specs = {letter: self.operator(letter, hidden_size=hidden_size) for letter in dict.fromkeys(order)}
        return tuple(specs[letter] for letter in order)

    def _build(self, letter: str, hidden_size: int) -> OperatorSpec:
        match letter:
            case "a" | "w":
                return self._attention(hidden_size, window=(self.window or 512) if letter == "w" else None)
            case "d":
                return DeltaNetSpec(
                    num_heads=self._num_heads(hidden_size),
                    head_dim=self._head_dim(hidden_size),
                    conv_width=self.conv_width,
                )
            case "gd":
                return GatedDeltaNetSpec(
                    num_heads=self._num_heads(hidden_size),
                    head_dim=self._head_dim(hidden_size),
                    conv_width=self.conv_width,
                )
            case "m1":
                return Mamba1Spec(
                    inner_size=self.mamba_expand * hidden_size,
                    dt_rank=-(-hidden_size // 16),
                    conv_width=self.conv_width,
                )
            case "m2":
                return self._mamba2(hidden_size)
            case "hh":
                mamba = self._mamba2(hidden_size)
                attention = self._attention(
                    hidden_size, window=None, value_head_dim=self.mamba_expand * self._head_dim(hidden_size)
                )
                return HybridHeadSpec(attention=attention, ssm=mamba)
            case "f":
                size = self.ffn_expand * hidden_size
                if size != int(size):
                    raise SpecError(
                        f"ffn_expand × width must be whole; got {self.ffn_expand} × {hidden_size} = {size:g}."
                    )
                return FFNSpec(intermediate_size=int(size), activation=self.ffn_activation)
            case _ if letter.startswith(FLA_PREFIX) and is_letter(letter):
                return FlaSpec(
                    layer=letter.removeprefix(FLA_PREFIX),
                    num_heads=self._num_heads(hidden_size),
                    head_dim=self._head_dim(hidden_size),
                )
            case _:
                raise SpecError(f"Unknown operator letter {letter!r}.{near_letter(letter)}")

    def _head_dim(self, hidden_size: int) -> int:
        return self.head_dim or (128 if hidden_size >= 1024 else 64)

    def _num_heads(self, hidden_size: int) -> int:
        head_dim = self._head_dim(hidden_size)
        if hidden_size % head_dim:
            raise SpecError(
                f"The width must be a multiple of head_dim={head_dim}; got {hidden_size}. "
                f"Nearest: {_nearest(hidden_size, head_dim)}."
            )
        return hidden_size // head_dim

    def _attention(self, hidden_size: int, *, window: int | None, value_head_dim: int | None = None) -> AttentionSpec:
        num_heads = self._num_heads(hidden_size)
        most = max(1, num_heads // self.query_heads_per_kv_head)
        return AttentionSpec(
            num_heads=num_heads,
            num_kv_heads=max(n for n in range(1, most + 1) if num_heads % n == 0),
            head_dim=self._head_dim(hidden_size),
            value_head_dim=value_head_dim,
            window=window,
            rope_theta=self.rope_theta,
            qk_norm=self.qk_norm,
        )

    def _num_mamba_heads(self, hidden_size: int) -> int:
        inner_size = self.mamba_expand * hidden_size
        if inner_size % self.mamba_head_dim:
            step = self.mamba_head_dim // gcd(self.mamba_expand, self.mamba_head_dim)
            raise SpecError(
                f"mamba_expand × width must be a multiple of mamba_head_dim={self.mamba_head_dim}; got "
                f"{self.mamba_expand} × {hidden_size} = {inner_size}. Nearest widths: {_nearest(hidden_size, step)}."
            )
        return inner_size // self.mamba_head_dim

    def _mamba2(self, hidden_size: int) -> Mamba2Spec:
        return Mamba2Spec(
            num_heads=self._num_mamba_heads(hidden_size),
            head_dim=self.mamba_head_dim,
            state_size=self.mamba_state_size,
            num_groups=self.mamba_num_groups,
            conv_width=self.conv_width,
        )


@lru_cache(maxsize=4096)
def _operator(dimensions: Dimensions, letter: str, hidden_size: int) -> OperatorSpec:
    # Searches decode the same few operators thousands of times.
    return dimensions._build(letter, hidden_size)


def architecture_from_pattern(
    pattern: str,
    *,
    hidden_size: int,
    vocab_size: int,
    num_meta_tokens: int = 0,
    tie_embeddings: bool = True,
    dimensions: Dimensions | None = None,
) -> Architecture:
    """Return the architecture a pattern means at a width.

    Raises:
        SpecError: an unknown letter, a width the heads do not divide, or a window no letter uses.
    """
    rules = dimensions or Dimensions()
    letters = parse_pattern(pattern)
    rules.check_used(letters)
    return Architecture(
        hidden_size=hidden_size,
        operators=rules.operators(letters, hidden_size=hidden_size),
        vocab_size=vocab_size,
        num_meta_tokens=num_meta_tokens,
        tie_embeddings=tie_embeddings,
    )


def _nearest(value: int, step: int) -> str:
    below = value - value % step
    return ", ".join(str(size) for size in (below, below + step) if size)
