"""One spec class per operator kind: every dimension of one residual layer `x + f(norm(x))`.

A spec says what is computed, never how: layers and kernels live in `operators/`. The width of the residual stream is
no part of a spec; `Architecture` holds it once for all operators.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import inf
from typing import ClassVar, Final, Literal, get_args

from search_spaces.errors import SpecError, near_miss

Activation = Literal["swiglu", "relu2", "gelu"]

FLA_PREFIX: Final = "fla:"
"""What sets the layers of flash-linear-attention apart in pattern notation."""

_LAYER_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def _check_positive(spec: object, *names: str) -> None:
    for name in names:
        value = getattr(spec, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpecError(f"{type(spec).__name__}.{name} must be a positive integer; got {value!r}.")


def _as_float(spec: object, name: str) -> None:
    """Store a number as float, so that 10000 and 10000.0 are one fingerprint."""
    value = getattr(spec, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"{type(spec).__name__}.{name} must be a number; got {value!r}.")
    object.__setattr__(spec, name, float(value))


def _not_a_multiple(**counts: int) -> SpecError:
    """Return the error of two counts of which the first should be a multiple of the second."""
    (whole, number), (part, divisor) = counts.items()
    divisors = ", ".join(str(n) for n in range(1, number + 1) if number % n == 0)
    return SpecError(f"{whole} must be a multiple of {part}; got {number} and {divisor}. Possible {part}: {divisors}.")


def _check_flags(spec: object, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(spec, name), bool):
            raise SpecError(f"{type(spec).__name__}.{name} must be true or false; got {getattr(spec, name)!r}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeScaling:
    """Llama-3 frequency scaling of rotary embeddings.

    Frequencies whose wavelength exceeds `original_max_tokens / low_frequency_factor` are divided by `factor`; those
    under `original_max_tokens / high_frequency_factor` are kept; between them the two are blended.
    """

    factor: float
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_max_tokens: int = 8192

    def __post_init__(self) -> None:
        for name in ("factor", "low_frequency_factor", "high_frequency_factor"):
            _as_float(self, name)
        _check_positive(self, "original_max_tokens")
        if not 1 <= self.factor < inf or not 0 < self.low_frequency_factor < self.high_frequency_factor < inf:
            raise SpecError(
                "RopeScaling needs factor >= 1 and 0 < low_frequency_factor < high_frequency_factor; got "
                f"{self.factor}, {self.low_frequency_factor}, {self.high_frequency_factor}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """Softmax attention with grouped queries; sliding-window attention when `window` is set."""

    kind: ClassVar[str] = "attention"

    num_heads: int
    num_kv_heads: int
    head_dim: int
    """Width of one query or key head."""

    value_head_dim: int | None = None
    """Width of one value head; none means `head_dim`. [HY] uses twice the key width."""

    window: int | None = None
    """Tokens a query sees, itself included; none means all. Meta tokens stay visible."""

    rope_theta: float | None = None
    """Base of the rotary frequencies; none means no position embedding."""

    rotary_fraction: float = 1.0
    """Leading share of each head that is rotated."""

    rope_scaling: RopeScaling | None = None

    qk_norm: bool = False
    """RMS normalization of each query and key head before rotation."""

    bias: bool = False
    """Biases on the query, key, value and gate projections (never on the output projection)."""

    output_gate: bool = False
    """Multiply what the heads return by sigmoid(z), z projected from the input, as Qwen3.5 does (arXiv 2505.06708)."""

    shares_kv_with: int | None = None
    """Index of an earlier operator whose keys and values this one reads instead of its own."""

    def __post_init__(self) -> None:
        _check_positive(self, "num_heads", "num_kv_heads", "head_dim")
        for name in ("window", "value_head_dim"):
            if getattr(self, name) is not None:
                _check_positive(self, name)
        if self.value_head_dim == self.head_dim:
            object.__setattr__(self, "value_head_dim", None)
        _check_flags(self, "qk_norm", "bias", "output_gate")
        if self.num_heads % self.num_kv_heads:
            raise _not_a_multiple(num_heads=self.num_heads, num_kv_heads=self.num_kv_heads)
        if self.rope_theta is None and (self.rope_scaling is not None or self.rotary_fraction != 1.0):
            raise SpecError("rope_scaling and rotary_fraction need rope_theta; got rope_theta none. Set rope_theta.")
        if self.rope_theta is not None:
            _as_float(self, "rope_theta")
            if not 0 < self.rope_theta < inf:
                raise SpecError(f"rope_theta must be positive and finite, or none for no RoPE; got {self.rope_theta}.")
        _as_float(self, "rotary_fraction")
        rotary_width = self.head_dim * self.rotary_fraction
        if self.rope_theta is not None and (not 0 < self.rotary_fraction <= 1 or rotary_width % 2):
            raise SpecError(
                "rotary_fraction must lie in (0, 1] and rotate an even number of channels; got "
                f"{self.rotary_fraction} of head_dim {self.head_dim} = {rotary_width:g} channels."
            )
        source = self.shares_kv_with
        if source is not None and (not isinstance(source, int) or isinstance(source, bool) or source < 0):
            raise SpecError(f"shares_kv_with must be the index of an earlier operator; got {self.shares_kv_with!r}.")

    @property
    def letter(self) -> str:
        """`a` for full attention, `w` for a sliding window."""
        return "a" if self.window is None else "w"

    @property
    def value_dim(self) -> int:
        """Width of one value head."""
        return self.head_dim if self.value_head_dim is None else self.value_head_dim

    @property
    def rotary_dim(self) -> int:
        """Channels of each head that are rotated; 0 without rotary embeddings."""
        return 0 if self.rope_theta is None else round(self.head_dim * self.rotary_fraction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba1Spec:
    """Selective state space with one step size per channel."""

    kind: ClassVar[str] = "mamba1"
    letter: ClassVar[str] = "m1"

    inner_size: int
    state_size: int = 16
    dt_rank: int
    conv_width: int = 4
    inner_norms: bool = False
    """RMS normalization of dt, B and C after their projection, as in [HY]."""

    def __post_init__(self) -> None:
        _check_positive(self, "inner_size", "state_size", "dt_rank", "conv_width")
        _check_flags(self, "inner_norms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2Spec:
    """State-space duality: one decay per head, states of `head_dim` × `state_size`."""

    kind: ClassVar[str] = "mamba2"
    letter: ClassVar[str] = "m2"

    num_heads: int
    head_dim: int
    state_size: int
    num_groups: int = 1
    """Heads of one group share B and C."""

    conv_width: int = 4
    grouped_norm: bool = True
    """Gated RMS normalization per group (Nemotron-H), not over the whole inner width; one group makes them equal."""

    def __post_init__(self) -> None:
        _check_positive(self, "num_heads", "head_dim", "state_size", "num_groups", "conv_width")
        _check_flags(self, "grouped_norm")
        if self.num_heads % self.num_groups:
            raise _not_a_multiple(num_heads=self.num_heads, num_groups=self.num_groups)
        if self.num_groups == 1:
            object.__setattr__(self, "grouped_norm", True)

    @property
    def inner_size(self) -> int:
        """Channels of the state-space branch, heads × head width; not tied to the model width."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaNetSpec:
    """Linear attention with the delta rule; short convolutions on q, k and v."""

    kind: ClassVar[str] = "deltanet"
    letter: ClassVar[str] = "d"

    num_heads: int
    head_dim: int
    conv_width: int = 4
    output_gate: bool = False
    allow_negative_eigenvalues: bool = False
    """β in (0, 2) instead of (0, 1)."""

    def __post_init__(self) -> None:
        _check_positive(self, "num_heads", "head_dim", "conv_width")
        _check_flags(self, "output_gate", "allow_negative_eigenvalues")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaNetSpec:
    """The delta rule on a state that decays by a learned factor at every token, arXiv 2412.06464."""

    kind: ClassVar[str] = "gated_deltanet"
    letter: ClassVar[str] = "gd"

    num_heads: int
    """Heads of queries and keys."""

    head_dim: int
    """Width of one query or key head."""

    num_value_heads: int | None = None
    """Heads of values and states, a multiple of `num_heads`; none means as many."""

    value_head_dim: int | None = None
    """Width of one value head; none means `head_dim`."""

    conv_width: int = 4
    output_gate: bool = True
    """Multiply the normalised output by silu(z), as Qwen3.5 does."""

    allow_negative_eigenvalues: bool = False
    """β in (0, 2) instead of (0, 1)."""

    def __post_init__(self) -> None:
        _check_positive(self, "num_heads", "head_dim", "conv_width")
        for name, default in (("num_value_heads", self.num_heads), ("value_head_dim", self.head_dim)):
            if getattr(self, name) is not None:
                _check_positive(self, name)
            if getattr(self, name) == default:
                object.__setattr__(self, name, None)
        _check_flags(self, "output_gate", "allow_negative_eigenvalues")
        if self.value_heads % self.num_heads:
            near = self.value_heads - self.value_heads % self.num_heads
            raise SpecError(
                f"num_value_heads must be a multiple of num_heads; got {self.value_heads} and {self.num_heads}. "
                f"Nearest: {', '.join(str(n) for n in (near, near + self.num_heads) if n)}."
            )

    @property
    def value_heads(self) -> int:
        """Heads of values and states."""
        return self.num_heads if self.num_value_heads is None else self.num_value_heads

    @property
    def value_dim(self) -> int:
        """Width of one value head."""
        return self.head_dim if self.value_head_dim is None else self.value_head_dim

    @property
    def key_size(self) -> int:
        """Channels of all keys."""
        return self.num_heads * self.head_dim

    @property
    def inner_size(self) -> int:
        """Channels of all values."""
        return self.value_heads * self.value_dim


FlaOption = int | float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaSpec:
    """Any layer of flash-linear-attention, by name: `fla:kda` in a pattern. It runs on a GPU only."""

    kind: ClassVar[str] = "fla"

    layer: str
    """Module of the layer in `fla.layers`, such as `gla`, `kda`, `rwkv7`."""

    num_heads: int | None = None
    head_dim: int | None = None
    """Given to the layer where its constructor takes them."""

    options: tuple[tuple[str, FlaOption], ...] = ()
    """Further arguments of its constructor by name, sorted; a mapping is taken as well."""

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str) or not _LAYER_NAME.fullmatch(self.layer):
            raise SpecError(f"FlaSpec.layer must be a name such as kda or gated_deltanet; got {self.layer!r}.")
        for name in ("num_heads", "head_dim"):
            if getattr(self, name) is not None:
                _check_positive(self, name)
        try:
            options = dict(self.options)
        except (TypeError, ValueError):
            raise SpecError(f"FlaSpec.options must be a mapping; got {self.options!r}.") from None
        for name, value in options.items():
            if not isinstance(name, str) or not isinstance(value, FlaOption):
                raise SpecError(
                    f"FlaSpec.options must map names to numbers, true or false, or words; got {name!r}: {value!r}."
                )
        object.__setattr__(self, "options", tuple(sorted(options.items())))

    @property
    def letter(self) -> str:
        """The layer with its prefix, as in `fla:kda`."""
        return f"{FLA_PREFIX}{self.layer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridHeadSpec:
    """Attention and an SSM in parallel on one input, each normalised, then averaged [HY]."""

    kind: ClassVar[str] = "hybrid_head"
    letter: ClassVar[str] = "hh"

    attention: AttentionSpec
    ssm: Mamba1Spec | Mamba2Spec

    def __post_init__(self) -> None:
        if not isinstance(self.attention, AttentionSpec) or not isinstance(self.ssm, Mamba1Spec | Mamba2Spec):
            raise SpecError(
                "A hybrid head needs an attention spec and a mamba1 or mamba2 spec; got "
                f"{type(self.attention).__name__} and {type(self.ssm).__name__}."
            )
        attention_width = self.attention.num_heads * self.attention.value_dim
        if attention_width != self.ssm.inner_size:
            heads = self.attention.num_heads
            remedy = (
                f"Set value_head_dim to {self.ssm.inner_size // heads}"
                if self.ssm.inner_size % heads == 0
                else f"Give the SSM {attention_width} channels"
            )
            raise SpecError(
                "Both branches of a hybrid head must have one width: attention gives num_heads × value width = "
                f"{heads} × {self.attention.value_dim} = {attention_width}, the SSM {self.ssm.inner_size}. {remedy}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FFNSpec:
    """Channel mixer: gated (`swiglu`) or plain (`relu2`, `gelu`)."""

    kind: ClassVar[str] = "ffn"
    letter: ClassVar[str] = "f"

    intermediate_size: int
    activation: Activation = "swiglu"

    def __post_init__(self) -> None:
        _check_positive(self, "intermediate_size")
        if self.activation not in get_args(Activation):
            hint = near_miss(str(self.activation), get_args(Activation))
            raise SpecError(f"FFNSpec.activation is unknown: {self.activation!r}.{hint}")

    @property
    def is_gated(self) -> bool:
        """Whether a second up-projection multiplies the activated one."""
        return self.activation == "swiglu"


OperatorSpec = (
    AttentionSpec | Mamba1Spec | Mamba2Spec | DeltaNetSpec | GatedDeltaNetSpec | HybridHeadSpec | FlaSpec | FFNSpec
)

SPEC_CLASSES: dict[str, type[OperatorSpec]] = {cls.kind: cls for cls in get_args(OperatorSpec)}
"""Every operator kind by name."""


def kind_of_letter(letter: str) -> str:
    """Return the operator kind a letter of pattern notation stands for.

    Raises:
        SpecError: an unknown letter.
    """
    if letter.startswith(FLA_PREFIX):
        return FlaSpec.kind
    kinds = {"a": "attention", "w": "attention"}
    for kind, cls in SPEC_CLASSES.items():
        if cls not in (AttentionSpec, FlaSpec):
            kinds[str(cls.letter)] = kind
    if letter not in kinds:
        raise SpecError(f"Unknown operator letter {letter!r}.{near_miss(letter, kinds)}")
    return kinds[letter]


def is_mixer(spec: OperatorSpec) -> bool:
    """Whether the operator mixes tokens (everything but the FFN does)."""
    return not isinstance(spec, FFNSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class KVForm:
    """What the keys and values of one operator must have in common with another's to stand in for them."""

    num_kv_heads: int
    head_dim: int
    value_dim: int
    rope_theta: float | None
    rotary_dim: int
    rope_scaling: RopeScaling | None

    def __str__(self) -> str:
        rotary = f"{self.rotary_dim} channels rotated, rope_theta {self.rope_theta:g}" if self.rope_theta else "no RoPE"
        scaling = f", {self.rope_scaling}" if self.rope_scaling else ""
        return f"{self.num_kv_heads} KV heads, keys of {self.head_dim}, values of {self.value_dim}, {rotary}{scaling}"


def kv_form(spec: OperatorSpec) -> KVForm | None:
    """Return the form of keys and values, or none for an operator without attention."""
    attention = spec.attention if isinstance(spec, HybridHeadSpec) else spec
    if not isinstance(attention, AttentionSpec):
        return None
    names = (field.name for field in fields(KVForm))
    return KVForm(**{name: getattr(attention, name) for name in names})


def kv_source(spec: OperatorSpec) -> int | None:
    """Return the operator whose keys and values this one shares, or none."""
    match spec:
        case AttentionSpec():
            return spec.shares_kv_with
        case HybridHeadSpec():
            return spec.attention.shares_kv_with
        case _:
            return None


def with_attention(spec: OperatorSpec, change: Callable[[AttentionSpec], AttentionSpec]) -> OperatorSpec:
    """Return the operator with its attention changed; an operator without attention as it is."""
    match spec:
        case AttentionSpec():
            return change(spec)
        case HybridHeadSpec():
            return replace(spec, attention=change(spec.attention))
        case _:
            return spec


def with_kv_source(spec: OperatorSpec, source: int | None) -> OperatorSpec:
    """Return the operator reading the keys and values of operator `source`, or its own."""
    if kv_source(spec) == source:
        return spec
    return with_attention(spec, lambda attention: replace(attention, shares_kv_with=source))


def spec_to_dict(spec: OperatorSpec | RopeScaling, *, omit_defaults: bool = False) -> dict[str, object]:
    """Return a JSON-ready mapping with `kind` first; optionally without fields at their default."""
    result: dict[str, object] = {"kind": spec.kind} if not isinstance(spec, RopeScaling) else {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if omit_defaults and value == field.default:
            continue
        if isinstance(value, RopeScaling | AttentionSpec | Mamba1Spec | Mamba2Spec):
            value = spec_to_dict(value, omit_defaults=omit_defaults)
        elif isinstance(spec, FlaSpec) and field.name == "options":
            value = dict(value)
        result[field.name] = value
    return result
