"""The least that generating moves through memory: weights, caches and states, once for every token generated.

Arithmetic, no torch. Activations, logits and what a kernel reads twice are not counted, so that a bandwidth makes a
lower bound of it. A model that fits into a cache may run below that bound.
"""

from operators.cost import num_non_embedding_parameters, operator_parameters, operator_recurrent_bytes
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import AttentionSpec, FlaSpec, HybridHeadSpec, OperatorSpec


def step_weight_bytes(architecture: Architecture, *, dtype_bytes: int) -> int:
    """Return the bytes of the weights that a decode step reads, whatever its batch.

    The head counts, tied or not; of the embedding only rows are looked up, and meta tokens are in the caches already.
    """
    width = architecture.hidden_size
    operators = num_non_embedding_parameters(architecture) - architecture.num_meta_tokens * width
    return dtype_bytes * (operators + architecture.vocab_size * width)


def decode_bytes(
    architecture: Architecture, *, batch_size: int, first_context: int, num_steps: int, dtype_bytes: int
) -> int:
    """Return the bytes that decode steps in a row move at least.

    Every step reads the weights once and, for every sequence, one row of the embedding and the keys and values of the
    earlier tokens that each attention sees, meta tokens included; those of its own token are written. Several operators
    that share a cache read it each. Recurrent states, histories of convolutions included, are read and written.

    Args:
        architecture: The model.
        batch_size: Sequences at once.
        first_context: Tokens before that of the first step, meta tokens not counted; every step adds one.
        num_steps: Steps.
        dtype_bytes: Of a weight, and of a number in a cache.

    Raises:
        SpecError: a layer of fla, of which it is not known what it moves.
    """
    by_operator, others = decode_bytes_by_operator(
        architecture, batch_size=batch_size, first_context=first_context, num_steps=num_steps, dtype_bytes=dtype_bytes
    )
    return sum(by_operator) + others


def decode_bytes_by_operator(
    architecture: Architecture, *, batch_size: int, first_context: int, num_steps: int, dtype_bytes: int
) -> tuple[list[int], int]:
    """Return what `decode_bytes` adds up: the bytes of each operator, and those of embedding, final norm and head.

    Raises:
        SpecError: a layer of fla, of which it is not known what it moves.
    """
    width = architecture.hidden_size
    by_operator = []
    for spec in architecture.operators:
        if isinstance(spec, FlaSpec):
            raise SpecError(
                f"What a step moves is known of our own operators only; got fla:{spec.layer}. Ask for an architecture "
                "without layers of fla."
            )
        token = 2 * operator_recurrent_bytes(spec, hidden_size=width, dtype_bytes=dtype_bytes)
        caches = 0
        if (attention := _attention(spec)) is not None:
            width_bytes = attention.num_kv_heads * (attention.head_dim + attention.value_dim) * dtype_bytes
            if attention.shares_kv_with is None:
                token += width_bytes
            seen = num_steps * architecture.num_meta_tokens
            seen += _earlier_tokens(attention.window, first_context=first_context, num_steps=num_steps)
            caches = seen * width_bytes
        weights = dtype_bytes * operator_parameters(spec, hidden_size=width)
        by_operator.append(num_steps * (weights + batch_size * token) + batch_size * caches)
    # The final norm and the head; of the embedding a row for every sequence.
    others = num_steps * dtype_bytes * width * (1 + architecture.vocab_size + batch_size)
    return by_operator, others


def _attention(spec: OperatorSpec) -> AttentionSpec | None:
    branch = spec.attention if isinstance(spec, HybridHeadSpec) else spec
    return branch if isinstance(branch, AttentionSpec) else None


def _earlier_tokens(window: int | None, *, first_context: int, num_steps: int) -> int:
    """Return the earlier tokens that all steps see together; a window holds a step's own token and the last others."""
    if window is None:
        growing, most = num_steps, 0
    else:
        most = window - 1
        growing = min(num_steps, max(0, most - first_context))
    return growing * first_context + growing * (growing - 1) // 2 + (num_steps - growing) * most
