"""What an architecture costs: parameters, floating-point operations, bytes of weights, of state and of training.

Needs no torch but for layers of fla, which are asked themselves.

All counts are exact but for FLOPs, which follow a convention: 2 for every multiply-add of matrix products (projections,
head, attention scores and values, reading and updating recurrent states) and of short convolutions; norms, activations,
softmax, decays and the embedding lookup count nothing.
"""

from typing import Final, Literal

from search_spaces.architecture import Architecture
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
    kv_source,
)

OwnSpec = AttentionSpec | Mamba1Spec | Mamba2Spec | DeltaNetSpec | GatedDeltaNetSpec | HybridHeadSpec | FFNSpec
"""The operators whose layers are ours."""

RECURRENT_STATE_BYTES: Final = 4
"""Recurrent states are float32 whatever the model's dtype."""


def num_parameters(architecture: Architecture) -> int:
    """Return every parameter: embedding, meta tokens, operators with their norms, final norm, untied head."""
    width = architecture.hidden_size
    matrices = 1 if architecture.tie_embeddings else 2
    return num_non_embedding_parameters(architecture) + matrices * architecture.vocab_size * width


def num_non_embedding_parameters(architecture: Architecture) -> int:
    """Return the parameters without the embedding and without the head; meta tokens count."""
    width = architecture.hidden_size
    operators = sum(operator_parameters(spec, hidden_size=width) for spec in architecture.operators)
    return operators + width + architecture.num_meta_tokens * width


def operator_parameters(spec: OperatorSpec, *, hidden_size: int, is_kv_shared: bool = False) -> int:
    """Return the parameters of one residual operator, the norm before it included.

    Args:
        spec: The operator.
        hidden_size: Width of the residual stream.
        is_kv_shared: Count it as if it shared another operator's keys and values, whatever the spec says.
    """
    if isinstance(spec, FlaSpec):
        from operators.fla.cost import fla_parameters

        return hidden_size + fla_parameters(spec, hidden_size=hidden_size)
    return (
        hidden_size
        + _reading(spec, is_kv_shared) * hidden_size
        + _inner(spec, is_kv_shared)
        + _writing(spec) * hidden_size
    )


def flops_per_token(architecture: Architecture, *, context_tokens: int) -> int:
    """Return the FLOPs of one forward token that has `context_tokens` tokens before it, meta tokens not counted."""
    width, meta = architecture.hidden_size, architecture.num_meta_tokens
    total = 2 * architecture.vocab_size * width
    for spec in architecture.operators:
        if isinstance(spec, FlaSpec):
            from operators.fla.cost import fla_flops

            total += fla_flops(spec, hidden_size=width)
            continue
        total += 2 * (_reading(spec, False) + _writing(spec)) * width
        total += _inner_flops(spec, context_tokens=context_tokens, num_meta_tokens=meta)
    return total


def weight_bytes(architecture: Architecture, *, dtype_bytes: int) -> int:
    """Return the bytes of all parameters in one dtype."""
    return num_parameters(architecture) * dtype_bytes


def state_bytes(architecture: Architecture, *, batch_size: int, context_tokens: int, dtype_bytes: int) -> int:
    """Return the bytes of a state with room for `context_tokens` tokens a sequence behind the meta tokens.

    Caches and convolution histories have the model's dtype; recurrent states are float32. A windowed operator keeps its
    window and the meta tokens; one that shares keys and values keeps none, but its source keeps what it needs.
    """
    caches = kv_cache_bytes(architecture, batch_size=batch_size, context_tokens=context_tokens, dtype_bytes=dtype_bytes)
    return caches + recurrent_state_bytes(architecture, batch_size=batch_size, dtype_bytes=dtype_bytes)


def kv_cache_bytes(architecture: Architecture, *, batch_size: int, context_tokens: int, dtype_bytes: int) -> int:
    """Return the part of a state that holds keys and values."""
    numbers = sum(
        _own_kv_width(attention, False) * cache_slots(architecture, index, context_tokens=context_tokens)
        for index, spec in enumerate(architecture.operators)
        if (attention := _attention(spec)) is not None
    )
    return batch_size * numbers * dtype_bytes


def recurrent_state_bytes(architecture: Architecture, *, batch_size: int, dtype_bytes: int) -> int:
    """Return the part of a state that has one size for any number of tokens."""
    width = architecture.hidden_size
    return batch_size * sum(
        operator_recurrent_bytes(spec, hidden_size=width, dtype_bytes=dtype_bytes) for spec in architecture.operators
    )


def operator_recurrent_bytes(spec: OperatorSpec, *, hidden_size: int, dtype_bytes: int) -> int:
    """Return the bytes of one operator's recurrent states and histories of convolutions, for one sequence."""
    if isinstance(spec, FlaSpec):
        from operators.fla.cost import fla_state_bytes

        return fla_state_bytes(spec, hidden_size=hidden_size, dtype_bytes=dtype_bytes)
    return _recurrent_bytes(spec, dtype_bytes=dtype_bytes)


def cache_slots(architecture: Architecture, index: int, *, context_tokens: int) -> int:
    """Return the tokens a sequence, meta tokens included, that the cache an operator reads has room for."""
    source = kv_source(architecture.operators[index])
    window = _cache_window(architecture, index if source is None else source)
    return architecture.num_meta_tokens + (context_tokens if window is None else min(context_tokens, window))


def training_peak_bytes(
    architecture: Architecture,
    *,
    batch_size: int,
    num_tokens: int,
    compute_dtype_bytes: int = 2,
    checkpointing: bool = True,
    device: Literal["cpu", "cuda"] = "cuda",
) -> int:
    """Return the peak memory of a training step with AdamW on the torch backends; its parts: `training_memory.py`.

    Raises:
        SpecError: a size that is not positive, a dtype of another size, or a layer of fla.
    """
    # That module counts parameters with this one.
    from operators.training_memory import training_memory

    memory = training_memory(
        architecture,
        batch_size=batch_size,
        num_tokens=num_tokens,
        compute_dtype_bytes=compute_dtype_bytes,
        checkpointing=checkpointing,
        device=device,
    )
    return memory.total


def _reading(spec: OwnSpec, is_kv_shared: bool) -> int:
    """Return the channels projected from the residual stream."""
    match spec:
        case AttentionSpec():
            gate = spec.num_heads * spec.value_dim if spec.output_gate else 0
            return spec.num_heads * spec.head_dim + _own_kv_width(spec, is_kv_shared) + gate
        case Mamba1Spec():
            return 2 * spec.inner_size
        case Mamba2Spec():
            return 2 * spec.inner_size + 2 * spec.num_groups * spec.state_size + spec.num_heads
        case DeltaNetSpec():
            inner = spec.num_heads * spec.head_dim
            return (4 if spec.output_gate else 3) * inner + spec.num_heads
        case GatedDeltaNetSpec():
            values = (2 if spec.output_gate else 1) * spec.inner_size
            return 2 * spec.key_size + values + 2 * spec.value_heads
        case HybridHeadSpec():
            return _reading(spec.attention, is_kv_shared) + _reading(spec.ssm, False)
        case FFNSpec():
            return spec.intermediate_size * (2 if spec.is_gated else 1)


def _writing(spec: OwnSpec) -> int:
    """Return the channels projected to the residual stream."""
    match spec:
        case AttentionSpec():
            return spec.num_heads * spec.value_dim
        case DeltaNetSpec():
            return spec.num_heads * spec.head_dim
        case HybridHeadSpec():
            return spec.ssm.inner_size
        case FFNSpec():
            return spec.intermediate_size
        case Mamba1Spec() | Mamba2Spec() | GatedDeltaNetSpec():
            return spec.inner_size


def _inner(spec: OwnSpec, is_kv_shared: bool) -> int:
    """Return the parameters between the projections: biases, norms, convolutions, state-space constants."""
    match spec:
        case AttentionSpec():
            own = _own_kv_width(spec, is_kv_shared)
            biases = _reading(spec, is_kv_shared) if spec.bias else 0
            return biases + (spec.head_dim * (2 if own else 1) if spec.qk_norm else 0)
        case Mamba1Spec():
            selection = spec.dt_rank + 2 * spec.state_size
            convolution = spec.inner_size * (spec.conv_width + 1)
            constants = spec.inner_size * (selection + spec.dt_rank + 1 + spec.state_size + 1)
            return convolution + constants + (selection if spec.inner_norms else 0)
        case Mamba2Spec():
            return _conv_channels(spec) * (spec.conv_width + 1) + 3 * spec.num_heads + spec.inner_size
        case DeltaNetSpec():
            return _conv_channels(spec) * spec.conv_width + spec.head_dim
        case GatedDeltaNetSpec():
            return _conv_channels(spec) * spec.conv_width + 2 * spec.value_heads + spec.value_dim
        case HybridHeadSpec():
            own_norms = 2 if isinstance(spec.ssm, Mamba1Spec) else 1
            return _inner(spec.attention, is_kv_shared) + _inner(spec.ssm, False) + own_norms * spec.ssm.inner_size
        case FFNSpec():
            return 0


def _inner_flops(spec: OwnSpec, *, context_tokens: int, num_meta_tokens: int) -> int:
    match spec:
        case AttentionSpec():
            tokens = context_tokens + 1
            seen = num_meta_tokens + (tokens if spec.window is None else min(tokens, spec.window))
            return 2 * spec.num_heads * (spec.head_dim + spec.value_dim) * seen
        case Mamba1Spec():
            selection = 2 * spec.dt_rank + 2 * spec.state_size
            return 2 * spec.inner_size * (spec.conv_width + selection + 2 * spec.state_size)
        case Mamba2Spec():
            return 2 * (_conv_channels(spec) * spec.conv_width + 2 * spec.inner_size * spec.state_size)
        case DeltaNetSpec():
            return 2 * (_conv_channels(spec) * spec.conv_width + 3 * spec.num_heads * spec.head_dim**2)
        case GatedDeltaNetSpec():
            return 2 * (_conv_channels(spec) * spec.conv_width + 3 * spec.inner_size * spec.head_dim)
        case HybridHeadSpec():
            return sum(
                _inner_flops(branch, context_tokens=context_tokens, num_meta_tokens=num_meta_tokens)
                for branch in (spec.attention, spec.ssm)
            )
        case FFNSpec():
            return 0


def _recurrent_bytes(spec: OwnSpec, *, dtype_bytes: int) -> int:
    match spec:
        case Mamba1Spec() | Mamba2Spec() | DeltaNetSpec() | GatedDeltaNetSpec():
            history = _conv_channels(spec) * (spec.conv_width - 1) * dtype_bytes
            return history + _recurrent_numbers(spec) * RECURRENT_STATE_BYTES
        case HybridHeadSpec():
            return _recurrent_bytes(spec.ssm, dtype_bytes=dtype_bytes)
        case AttentionSpec() | FFNSpec():
            return 0


def _recurrent_numbers(spec: Mamba1Spec | Mamba2Spec | DeltaNetSpec | GatedDeltaNetSpec) -> int:
    if isinstance(spec, DeltaNetSpec):
        return spec.num_heads * spec.head_dim**2
    if isinstance(spec, GatedDeltaNetSpec):
        return spec.inner_size * spec.head_dim
    return spec.inner_size * spec.state_size


def _conv_channels(spec: Mamba1Spec | Mamba2Spec | DeltaNetSpec | GatedDeltaNetSpec) -> int:
    match spec:
        case Mamba1Spec():
            return spec.inner_size
        case Mamba2Spec():
            return spec.inner_size + 2 * spec.num_groups * spec.state_size
        case DeltaNetSpec():
            return 3 * spec.num_heads * spec.head_dim
        case GatedDeltaNetSpec():
            return 2 * spec.key_size + spec.inner_size


def _own_kv_width(spec: AttentionSpec, is_kv_shared: bool) -> int:
    if is_kv_shared or spec.shares_kv_with is not None:
        return 0
    return spec.num_kv_heads * (spec.head_dim + spec.value_dim)


def _cache_window(architecture: Architecture, index: int) -> int | None:
    """Return the tokens that the cache of an operator must keep, or none for all of them."""
    windows = [
        attention.window
        for other, spec in enumerate(architecture.operators)
        if (other == index or kv_source(spec) == index) and (attention := _attention(spec)) is not None
    ]
    return None if None in windows else max((window for window in windows if window is not None), default=None)


def _attention(spec: OperatorSpec) -> AttentionSpec | None:
    match spec:
        case AttentionSpec():
            return spec
        case HybridHeadSpec():
            return spec.attention
        case _:
            return None
