"""The most bytes an operator holds at once between its input and its output, beside its weights and its state.

Sums of the tensors alive together at the moments that can be the highest, read off the layers. They are those of the
operators' forms in plain torch, which run everywhere; kernels of fla and mamba-ssm hold less. No memory is measured
here, and no torch is needed. The recurrent mixers are in `mixer_working_set.py`.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

from latency.mixer_working_set import (
    MixerCall,
    delta_step,
    deltanet,
    gated_deltanet,
    mamba1_mixer,
    mamba1_step,
    mamba2_mixer,
    mamba2_step,
)
from search_spaces.errors import SpecError
from search_spaces.specs import (
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

Device = Literal["cpu", "cuda"]

WIDE: Final = 4
"""Bytes of a float32, in which norms, convolutions and recurrences run."""

QUERY_BLOCK: Final[dict[Device, int]] = {"cpu": 128, "cuda": 1024}
"""Queries to a mask, as in `operators/attention/backends.py`."""

_INDEX: Final = 8
"""Bytes of a position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an operator: a chunk of a prompt, or a decode step where there is one token."""

    batch_size: int
    tokens: int
    past_tokens: int
    """Tokens read before, meta tokens included."""

    meta_tokens: int
    cache_slots: int
    """Slots of the operator's key-value cache; of its source's where it shares one."""

    is_source: bool
    """Whether a later operator shares its keys and values."""

    hidden_size: int
    element: int
    """Bytes of a number in the model's dtype."""

    device: Device

    @property
    def rows(self) -> int:
        """Tokens of all sequences."""
        return self.batch_size * self.tokens

    def norm(self, numbers: int) -> int:
        """Return what a norm of so many numbers holds at most, its result included, its input not."""
        if self.device == "cuda":
            return numbers * self.element
        widened = 0 if self.element == WIDE else 1
        return (2 + widened) * WIDE * numbers


def sequence_bytes(spec: OperatorSpec, call: Call) -> int:
    """Return the most that a residual operator holds during a chunk, the stream before it and after it included.

    Raises:
        SpecError: a layer of fla, which nobody has read.
    """
    stream = call.rows * call.hidden_size * call.element
    inside = _sequence(spec, call)
    return stream + max(call.norm(call.rows * call.hidden_size), stream + inside, 2 * stream)


def step_bytes(spec: OperatorSpec, call: Call) -> int:
    """Return the same of a decode step."""
    stream = call.rows * call.hidden_size * call.element
    inside = _step(spec, call)
    return stream + max(call.norm(call.rows * call.hidden_size), stream + inside, 2 * stream)


def published_bytes(spec: OperatorSpec, call: Call) -> int:
    """Return what stays until the chunk has passed all operators because later ones share the keys and values."""
    attention = spec.attention if isinstance(spec, HybridHeadSpec) else spec
    if not call.is_source or not isinstance(attention, AttentionSpec) or _in_place(call):
        return 0
    projected = 0
    if not call.past_tokens:
        # Keys or values are views of it.
        projected = _qkv_width(attention)
        if isinstance(spec, HybridHeadSpec) and not attention.bias:
            projected += _mixer_width(spec.ssm)
    return call.rows * projected * call.element + _gathered(attention, call)


def _gathered(spec: AttentionSpec, call: Call) -> int:
    """Return the keys and values of a chunk that are neither in the cache nor views of the projection."""
    if call.past_tokens:
        return call.batch_size * _num_keys(call) * _cached_width(spec) * call.element
    return call.rows * _qk_width(spec) * call.element if _is_prepared(spec) else 0


def _sequence(spec: OperatorSpec, call: Call) -> int:
    match spec:
        case FFNSpec():
            return _ffn(spec, call)
        case AttentionSpec():
            projected = call.rows * _qkv_width(spec) * call.element
            return max(projected + _heads(spec, call), _projecting(spec.num_heads * spec.value_dim, call))
        case Mamba1Spec() | Mamba2Spec():
            projected = call.rows * _mixer_width(spec) * call.element
            return max(projected + _mixer(spec, call), _projecting(spec.inner_size, call))
        case DeltaNetSpec():
            return deltanet(spec, _mixer_call(call))
        case GatedDeltaNetSpec():
            return gated_deltanet(spec, _mixer_call(call))
        case HybridHeadSpec():
            return _hybrid_head(spec, call)
        case FlaSpec():
            raise _unknown(spec)


def _step(spec: OperatorSpec, call: Call) -> int:
    match spec:
        case FFNSpec():
            return _ffn(spec, call)
        case AttentionSpec():
            return call.rows * _qkv_width(spec) * call.element + _heads_step(spec, call)
        case Mamba1Spec() | Mamba2Spec():
            return call.rows * _mixer_width(spec) * call.element + _mixer_step(spec, call)
        case DeltaNetSpec() | GatedDeltaNetSpec():
            return delta_step(spec, _mixer_call(call))
        case HybridHeadSpec():
            attention, inner = spec.attention, spec.ssm.inner_size
            projected = _qkv_width(attention) * (2 if attention.bias else 1) + _mixer_width(spec.ssm)
            branches = max(_heads_step(attention, call), call.rows * inner * call.element + _mixer_step(spec.ssm, call))
            return call.rows * projected * call.element + branches
        case FlaSpec():
            raise _unknown(spec)


def _ffn(spec: FFNSpec, call: Call) -> int:
    # Projected, and what the activation makes of it on its way.
    together = {"swiglu": 4, "relu2": 3, "gelu": 2}[spec.activation]
    inner = call.rows * spec.intermediate_size * call.element
    return max(together * inner, _projecting(spec.intermediate_size, call))


def _projecting(inner_size: int, call: Call) -> int:
    return call.rows * (inner_size + call.hidden_size) * call.element


def _hybrid_head(spec: HybridHeadSpec, call: Call) -> int:
    attention, inner = spec.attention, spec.ssm.inner_size
    projected = _qkv_width(attention) * (2 if attention.bias else 1) + _mixer_width(spec.ssm)
    attended = call.rows * inner * call.element
    held = call.rows * projected * call.element
    published = _gathered(attention, call) if call.is_source and not _in_place(call) else 0
    return held + max(
        _heads(attention, call),
        published + attended + _mixer(spec.ssm, call),
        published + 3 * attended + call.norm(call.rows * inner),
    )


def _heads(spec: AttentionSpec, call: Call) -> int:
    """Return what lies between the projections of attention, for a chunk."""
    turned, kept = _preparing(spec, call)
    num_keys = _num_keys(call)
    gathered = 0
    if call.past_tokens and not _in_place(call) and spec.shares_kv_with is None:
        gathered = call.batch_size * num_keys * _cached_width(spec) * call.element
    held = kept + gathered
    return max(turned, held + _attending(spec, call, num_keys=num_keys), held + _gating(spec, call))


def _gating(spec: AttentionSpec, call: Call) -> int:
    """Return what the heads give, its gate, and the product of the two."""
    return 3 * call.rows * spec.num_heads * spec.value_dim * call.element if spec.output_gate else 0


def _preparing(spec: AttentionSpec, call: Call) -> tuple[int, int]:
    """Return what norms and rotation of queries and keys hold at most, and what is left of it."""
    numbers = call.rows * _qk_width(spec)
    narrow, positions = call.element * numbers, _INDEX * call.tokens
    most, normed = 0, 0
    if spec.qk_norm:
        queries = call.rows * spec.num_heads * spec.head_dim
        # Queries and keys one after the other, then side by side.
        first, second = call.norm(queries), queries * call.element + call.norm(numbers - queries)
        most, normed = max(first, second, 2 * narrow), narrow
    if spec.rope_theta is not None:
        heads = _qk_width(spec) // spec.head_dim
        tables = call.tokens * spec.rotary_dim * WIDE
        turned = call.rows * heads * spec.rotary_dim * WIDE
        widened = 0 if call.element == WIDE else WIDE * numbers + narrow
        most = max(most, normed + tables + turned + WIDE * numbers + widened)
        return positions + most, positions + tables + narrow
    return positions + most, positions + normed


def _attending(spec: AttentionSpec, call: Call, *, num_keys: int) -> int:
    """Return what the softmax over `num_keys` keys holds, as `operators/attention/backends.py` goes about it."""
    width = max(spec.head_dim, spec.value_dim)
    out = call.rows * spec.num_heads * width * call.element
    flat = call.rows * spec.num_heads * spec.value_dim * call.element
    num_past = num_keys - call.tokens
    if call.tokens == 1:
        return _attending_one(spec, call, num_keys=num_keys)
    is_cut = width != spec.value_dim
    is_causal = spec.window is None or num_keys - min(call.meta_tokens, num_keys) <= spec.window
    if is_causal and num_past <= call.tokens // 2:
        asked = replace(call, tokens=num_keys)
        padded = asked.rows * spec.num_heads * spec.head_dim * call.element if num_past else 0
        whole = asked.rows * spec.num_heads * width * call.element
        sums = asked.rows * spec.num_heads * WIDE
        is_copied = is_cut or (num_past and call.batch_size > 1)
        return max(padded + _widened(spec, asked, num_keys=num_keys) + whole + sums, whole + (flat if is_copied else 0))
    if is_causal and call.device == "cuda" and call.element < WIDE:
        return _widened(spec, call, num_keys=num_keys) + out
    is_copied = is_cut or call.tokens > 2 * QUERY_BLOCK[call.device]
    return max(_by_query_blocks(spec, call, num_keys=num_keys), out + (flat if is_copied else 0))


def _by_query_blocks(spec: AttentionSpec, call: Call, *, num_keys: int) -> int:
    """Return what masked attention holds, one block of queries after another."""
    width = max(spec.head_dim, spec.value_dim)
    block = QUERY_BLOCK[call.device]
    is_one = call.tokens <= 2 * block
    heads, copies = spec.num_kv_heads, 0
    if call.device == "cuda" and heads != spec.num_heads:
        heads = spec.num_heads
        copies = call.batch_size * num_keys * heads * 2 * width * call.element
    token = call.batch_size * spec.num_heads * width * call.element
    rest = (call.tokens - 1) % block + 1
    # The last two blocks: the last holds the most outputs, the one before may be longer.
    most = 0 if is_one else 2 * call.tokens * token
    for length, behind in ((call.tokens, 0),) if is_one else ((rest, 0), (block, rest)):
        seen, taken = num_keys - behind, 0
        if spec.window is not None and not is_one:
            seen = min(seen, min(call.meta_tokens, num_keys) + spec.window + length - 1)
            taken = call.batch_size * seen * heads * 2 * width * call.element if seen < num_keys - behind else 0
        # The mask, the mask as numbers, and beside the outputs the logarithms of their sums.
        masks = (1 + call.element) * length * seen
        sums = call.batch_size * spec.num_heads * length * WIDE
        most = max(most, (call.tokens - behind) * token + sums + taken + masks)
    return _widened(spec, call, num_keys=num_keys) + copies + most


def _widened(spec: AttentionSpec, call: Call, *, num_keys: int) -> int:
    """Return the copies that make keys and values, or queries and keys, as wide as the others."""
    width = max(spec.head_dim, spec.value_dim)
    keys = call.batch_size * num_keys * spec.num_kv_heads * width * call.element
    if spec.value_dim < width:
        return keys
    if spec.head_dim < width:
        return keys + call.rows * spec.num_heads * width * call.element
    return 0


def _heads_step(spec: AttentionSpec, call: Call) -> int:
    slots = call.cache_slots
    turned, kept = _preparing(spec, call)
    # Slots, and where a ring is longer than the window, ages.
    is_cut = spec.window is not None and slots - call.meta_tokens > spec.window
    masks = slots * (3 * _INDEX + 2 if is_cut else _INDEX + 1)
    attending = _attending_one(spec, call, num_keys=slots)
    return max(turned, kept + masks, kept + slots + max(attending, _gating(spec, call)))


def _attending_one(spec: AttentionSpec, call: Call, *, num_keys: int) -> int:
    """Return what one query a sequence holds; on a CPU torch has no fused form for values of another width."""
    out = call.batch_size * spec.num_heads * spec.value_dim * call.element
    mask = num_keys * (1 + call.element)
    if call.device == "cuda" or spec.value_dim == spec.head_dim:
        return out + mask
    scores = call.batch_size * spec.num_heads * num_keys * WIDE
    slots = call.batch_size * num_keys * spec.num_kv_heads * WIDE
    keys, values = slots * spec.head_dim, slots * spec.value_dim
    widened = 0 if call.element == WIDE else keys + values
    # Keys scaled and laid out anew, then values.
    return mask + widened + max(2 * keys + scores, values + 2 * scores + out)


def _in_place(call: Call) -> bool:
    return call.past_tokens + call.tokens <= call.cache_slots


def _num_keys(call: Call) -> int:
    """Return how many keys a chunk sees: all, or the meta tokens and what the cache's window left."""
    if _in_place(call) or not call.past_tokens:
        return call.past_tokens + call.tokens
    prefix = min(call.meta_tokens, call.past_tokens)
    window = call.cache_slots - call.meta_tokens
    return prefix + min(call.past_tokens - prefix, window - 1) + call.tokens


def _mixer(spec: Mamba1Spec | Mamba2Spec, call: Call) -> int:
    return (
        mamba1_mixer(spec, _mixer_call(call)) if isinstance(spec, Mamba1Spec) else mamba2_mixer(spec, _mixer_call(call))
    )


def _mixer_step(spec: Mamba1Spec | Mamba2Spec, call: Call) -> int:
    return (
        mamba1_step(spec, _mixer_call(call)) if isinstance(spec, Mamba1Spec) else mamba2_step(spec, _mixer_call(call))
    )


def _mixer_call(call: Call) -> MixerCall:
    return MixerCall(batch_size=call.batch_size, tokens=call.tokens, hidden_size=call.hidden_size, element=call.element)


def _mixer_width(spec: Mamba1Spec | Mamba2Spec) -> int:
    if isinstance(spec, Mamba1Spec):
        return 2 * spec.inner_size
    return 2 * spec.inner_size + 2 * spec.num_groups * spec.state_size + spec.num_heads


def _qkv_width(spec: AttentionSpec) -> int:
    own = 0 if spec.shares_kv_with is not None else _cached_width(spec)
    gate = spec.num_heads * spec.value_dim if spec.output_gate else 0
    return spec.num_heads * spec.head_dim + own + gate


def _qk_width(spec: AttentionSpec) -> int:
    own = 0 if spec.shares_kv_with is not None else spec.num_kv_heads
    return (spec.num_heads + own) * spec.head_dim


def _cached_width(spec: AttentionSpec) -> int:
    return spec.num_kv_heads * (spec.head_dim + spec.value_dim)


def _is_prepared(spec: AttentionSpec) -> bool:
    return spec.qk_norm or spec.rope_theta is not None


def _unknown(spec: FlaSpec) -> SpecError:
    return SpecError(
        f"What a layer holds while it computes is known of our own operators only; got fla:{spec.layer}. Measure it "
        "on its device."
    )
