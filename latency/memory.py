"""How much memory generating takes: what the decoder of `runtime.py` holds, and what a pass holds on its way.

Arithmetic, no torch. What torch's kernels need for themselves is not counted; on a CPU it is under a mebibyte a thread.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from latency.working_set import Call, Device, published_bytes, sequence_bytes, step_bytes
from latency.workload import PREFILL_CHUNK_TOKENS, Dtype, Workload, chunk_length
from operators.cost import cache_slots, kv_cache_bytes, recurrent_state_bytes, weight_bytes
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.specs import kv_source

DTYPE_BYTES: Final[dict[Dtype, int]] = {"float32": 4, "bfloat16": 2, "float16": 2}

GIB: Final = 2**30

_INDEX_BYTES: Final = 8

_CUDA_FIXED_BYTES: Final = 512 * 2**20 + 3 * 32 * 2**20
"""The driver's context, typically half a gibibyte, and cuBLAS's workspace of 32 MiB (on Hopper) for each of the three
streams that the decoder computes on."""

_CUDA_UNUSED_SHARE: Final = 0.05
"""Of activations, on top: torch's allocator takes whole segments of 2 or 20 MiB and cannot always reuse a free one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceMemory:
    """Bytes of one process that generates."""

    weights: int

    kv_cache: int
    """Keys and values of all tokens there is room for."""

    recurrent_state: int
    """Recurrent states and histories of convolutions."""

    activations: int
    """The most a chunk of the prompt or a decode step holds at once, logits included; on a GPU a step's belong to its
    graph, so that both count."""

    buffers: int
    """Tokens: the prompt, those written, and counters."""

    slack: int
    """What a GPU's driver, cuBLAS and torch's allocator keep beyond that; 0 on a CPU."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.recurrent_state + self.activations + self.buffers + self.slack

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "weights": self.weights,
            "kv_cache": self.kv_cache,
            "recurrent_state": self.recurrent_state,
            "activations": self.activations,
            "buffers": self.buffers,
            "slack": self.slack,
            "total": self.total,
        }


def inference_memory(
    architecture: Architecture,
    *,
    max_tokens: int,
    dtype: Dtype,
    batch_size: int = 1,
    prompt_tokens: int | None = None,
    prefill_chunk_tokens: int = PREFILL_CHUNK_TOKENS,
    device: Device = "cuda",
) -> InferenceMemory:
    """Return what generating takes, the likeliest token chosen.

    Args:
        architecture: The model.
        max_tokens: Longest sequence, prompt included, meta tokens not.
        dtype: Of weights and activations.
        batch_size: Sequences at once.
        prompt_tokens: Tokens of a prompt; none means all but the last.
        prefill_chunk_tokens: Tokens of all prompts read at once.
        device: Where it runs.

    Raises:
        SpecError: a size out of range, or an operator of which it is not known what it holds.
    """
    prompt_tokens = max_tokens - 1 if prompt_tokens is None else prompt_tokens
    for name, value, least in (
        ("max_tokens", max_tokens, 1),
        ("batch_size", batch_size, 1),
        ("prompt_tokens", prompt_tokens, 0),
        ("prefill_chunk_tokens", prefill_chunk_tokens, 1),
    ):
        if value < least:
            raise SpecError(f"{name} must be at least {least}; got {value}.")
    if prompt_tokens > max_tokens:
        raise SpecError(f"prompt_tokens must be at most max_tokens={max_tokens}; got {prompt_tokens}.")
    element = DTYPE_BYTES[dtype]
    call = Call(
        batch_size=batch_size,
        tokens=1,
        past_tokens=architecture.num_meta_tokens + max_tokens - 1,
        meta_tokens=architecture.num_meta_tokens,
        cache_slots=0,
        is_source=False,
        hidden_size=architecture.hidden_size,
        element=element,
        device=device,
    )
    step = _pass_bytes(architecture, call, max_tokens=max_tokens, is_step=True)
    length = chunk_length(batch_size, chunk_tokens=prefill_chunk_tokens)
    chunks = _chunks(prompt_tokens, length, num_meta_tokens=architecture.num_meta_tokens)
    prefill = max(
        (
            _pass_bytes(architecture, replace(call, tokens=tokens, past_tokens=past), max_tokens=max_tokens)
            for tokens, past in chunks
        ),
        default=0,
    )
    activations = prefill + step if device == "cuda" else max(prefill, step)
    return InferenceMemory(
        weights=weight_bytes(architecture, dtype_bytes=element),
        kv_cache=kv_cache_bytes(architecture, batch_size=batch_size, context_tokens=max_tokens, dtype_bytes=element),
        recurrent_state=recurrent_state_bytes(architecture, batch_size=batch_size, dtype_bytes=element),
        activations=activations,
        buffers=_INDEX_BYTES * (batch_size * (prompt_tokens + max_tokens + 1) + 2 + architecture.depth),
        slack=_CUDA_FIXED_BYTES + round(_CUDA_UNUSED_SHARE * activations) if device == "cuda" else 0,
    )


def workload_memory(architecture: Architecture, workload: Workload, *, device: Device) -> InferenceMemory:
    """Return what one workload takes.

    Raises:
        SpecError: an operator of which it is not known what it holds.
    """
    return inference_memory(
        architecture,
        max_tokens=workload.max_tokens,
        dtype=workload.dtype,
        batch_size=workload.batch_size,
        prompt_tokens=workload.prompt_tokens,
        device=device,
    )


def largest_batch(
    architecture: Architecture,
    *,
    max_tokens: int,
    dtype: Dtype,
    memory_bytes: int,
    prompt_tokens: int | None = None,
    prefill_chunk_tokens: int = PREFILL_CHUNK_TOKENS,
    device: Device = "cuda",
) -> int:
    """Return the most sequences of at most `max_tokens` tokens that fit into a memory at once.

    Raises:
        SpecError: not even one fits, or what `inference_memory` refuses.
    """

    def total(batch_size: int) -> int:
        return inference_memory(
            architecture,
            max_tokens=max_tokens,
            dtype=dtype,
            batch_size=batch_size,
            prompt_tokens=prompt_tokens,
            prefill_chunk_tokens=prefill_chunk_tokens,
            device=device,
        ).total

    alone = total(1)
    if alone > memory_bytes:
        raise SpecError(
            f"One sequence of {max_tokens} tokens in {dtype} takes {alone / GIB:.2f} GiB; got {memory_bytes / GIB:.2f} "
            f"GiB, {(alone - memory_bytes) / GIB:.2f} GiB short. Ask for fewer tokens, or for a smaller model."
        )
    fits, above = 1, 2
    while total(above) <= memory_bytes:
        fits, above = above, 2 * above
    while above - fits > 1:
        middle = (fits + above) // 2
        if total(middle) <= memory_bytes:
            fits = middle
        else:
            above = middle
    return fits


def largest_batch_of(architecture: Architecture, workload: Workload, *, memory_bytes: int, device: Device) -> int:
    """Return the largest batch of a workload, whatever batch it says.

    Raises:
        SpecError: see `largest_batch`.
    """
    return largest_batch(
        architecture,
        max_tokens=workload.max_tokens,
        dtype=workload.dtype,
        memory_bytes=memory_bytes,
        prompt_tokens=workload.prompt_tokens,
        device=device,
    )


def require_room(architecture: Architecture, workload: Workload, *, memory_bytes: int, device: Device) -> None:
    """Check that a workload fits into a memory.

    Raises:
        SpecError: it does not, or see `largest_batch`.
    """
    most = largest_batch_of(architecture, workload, memory_bytes=memory_bytes, device=device)
    if workload.batch_size > most:
        taken = workload_memory(architecture, workload, device=device).total
        raise SpecError(
            f"A workload must fit into the memory of its device; {workload.describe()}, takes {taken / GIB:.2f} GiB of "
            f"{memory_bytes / GIB:.2f} GiB. The largest batch that fits is {most}; ask for that, or for fewer tokens."
        )


def _chunks(prompt_tokens: int, chunk_tokens: int, *, num_meta_tokens: int) -> list[tuple[int, int]]:
    """Return the chunks that may hold the most, each with the tokens before it: the first, the last full one, the last.

    The meta tokens are a chunk of their own.
    """
    chunks = [(num_meta_tokens, 0)] if num_meta_tokens else []
    num_full, rest = divmod(prompt_tokens, chunk_tokens)
    if num_full:
        chunks += [(chunk_tokens, num_meta_tokens), (chunk_tokens, num_meta_tokens + (num_full - 1) * chunk_tokens)]
    if rest:
        chunks.append((rest, num_meta_tokens + num_full * chunk_tokens))
    return chunks


def _pass_bytes(architecture: Architecture, call: Call, *, max_tokens: int, is_step: bool = False) -> int:
    """Return the most one pass over all operators holds: the largest of them, and what is kept for later ones."""
    sources = {source for spec in architecture.operators if (source := kv_source(spec)) is not None}
    logits = call.batch_size * architecture.vocab_size * call.element
    # Those of a chunk stay until those of the next are there.
    kept = logits if not is_step and call.past_tokens > architecture.num_meta_tokens else 0
    most = 0
    for index, spec in enumerate(architecture.operators):
        slots = cache_slots(architecture, index, context_tokens=max_tokens)
        here = replace(call, cache_slots=slots, is_source=index in sources)
        most = max(most, kept + (step_bytes(spec, here) if is_step else sequence_bytes(spec, here)))
        kept += 0 if is_step else published_bytes(spec, here)
    stream = call.rows * architecture.hidden_size * call.element
    return max(most, kept + stream + logits)
