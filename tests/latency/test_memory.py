import weakref
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from latency.memory import DTYPE_BYTES, inference_memory, largest_batch, workload_memory
from latency.mixer_working_set import DELTA_CHUNK_TOKENS, MAMBA2_CHUNK_TOKENS
from latency.runtime import Decoder
from latency.working_set import QUERY_BLOCK
from latency.workload import Dtype, Workload
from operators.attention.backends import GPU_QUERY_BLOCK
from operators.attention.backends import QUERY_BLOCK as CPU_QUERY_BLOCK
from operators.cost import OwnSpec
from operators.deltanet.chunked import CHUNK_TOKENS as DELTA_CHUNK
from operators.mamba2.chunked import CHUNK_TOKENS as MAMBA2_CHUNK
from operators.model import HybridLM
from search_spaces import Architecture, load_reference
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

TORCH: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

WITHIN = 0.05

GENERATED = 8

ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, rope_theta=1e4)
WINDOW = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, window=24)
HYMBA = HybridHeadSpec(
    attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, value_head_dim=32, window=24, rope_theta=1e4),
    ssm=Mamba1Spec(inner_size=128, state_size=8, dt_rank=4),
)

MODELS: dict[str, tuple[OperatorSpec, ...]] = {
    "attention": (ATTENTION,),
    "attention, norms and wide values": (
        AttentionSpec(num_heads=3, num_kv_heads=3, head_dim=8, value_head_dim=12, qk_norm=True, bias=True),
    ),
    "attention, narrow values": (
        AttentionSpec(num_heads=3, num_kv_heads=1, head_dim=16, value_head_dim=8, rope_theta=1e4, rotary_fraction=0.5),
    ),
    "attention, output gate": (AttentionSpec(num_heads=16, num_kv_heads=1, head_dim=32, bias=True, output_gate=True),),
    "window": (WINDOW,),
    "window as long as a chunk": (AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=8, window=100),),
    "shared keys and values": (
        ATTENTION,
        FFNSpec(intermediate_size=96),
        AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, rope_theta=1e4, shares_kv_with=0, output_gate=True),
    ),
    "shared window": (
        WINDOW,
        FFNSpec(intermediate_size=300),
        AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, window=24, shares_kv_with=0),
    ),
    "mamba1": (Mamba1Spec(inner_size=48, state_size=8, dt_rank=4),),
    "mamba1, inner norms": (Mamba1Spec(inner_size=48, state_size=4, dt_rank=3, conv_width=2, inner_norms=True),),
    "mamba2": (Mamba2Spec(num_heads=4, head_dim=16, state_size=8),),
    "mamba2, large states": (Mamba2Spec(num_heads=4, head_dim=16, state_size=128, num_groups=2, grouped_norm=False),),
    "deltanet": (DeltaNetSpec(num_heads=2, head_dim=32),),
    "deltanet, gated": (DeltaNetSpec(num_heads=4, head_dim=8, conv_width=3, output_gate=True),),
    "gated deltanet": (GatedDeltaNetSpec(num_heads=2, head_dim=16),),
    "gated deltanet, more and wider values": (
        GatedDeltaNetSpec(num_heads=2, head_dim=8, num_value_heads=4, value_head_dim=24, output_gate=False),
    ),
    "hybrid head, mamba1": (HYMBA,),
    "hybrid head, mamba2": (
        HybridHeadSpec(
            attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, bias=True),
            ssm=Mamba2Spec(num_heads=4, head_dim=8, state_size=16),
        ),
    ),
    "hybrid head, output gate": (
        HybridHeadSpec(
            attention=AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=16, output_gate=True),
            ssm=Mamba2Spec(num_heads=4, head_dim=16, state_size=4),
        ),
    ),
    "ffn, swiglu": (FFNSpec(intermediate_size=170),),
    "ffn, relu2": (FFNSpec(intermediate_size=40, activation="relu2"),),
    "ffn, gelu": (FFNSpec(intermediate_size=170, activation="gelu"),),
    "all at once": (HYMBA, FFNSpec(intermediate_size=90), DeltaNetSpec(num_heads=2, head_dim=32), ATTENTION),
}


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """Counts the bytes of all tensors that are alive, also those within operations that torch composes."""

    def __init__(self, given: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        self._sizes: dict[int, int] = {}
        self.most = self.now = 0
        self._see(given)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        # A product with a weight is one kernel, whatever torch could compose it of.
        result: Any = NotImplemented
        if func is not torch.ops.aten.linear.default:
            with self:
                result = func.decompose(*args, **(kwargs or {}))
        if result is NotImplemented:
            result = func(*args, **(kwargs or {}))
        self._see([leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)])
        return result

    def _see(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._sizes:
                self._sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata)
        self.most = max(self.most, self.now)

    def _gone(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def model_of(operators: tuple[OperatorSpec, ...], *, num_meta_tokens: int = 0) -> Architecture:
    return Architecture(hidden_size=64, operators=operators, vocab_size=300, num_meta_tokens=num_meta_tokens)


def real_bytes(
    architecture: Architecture, *, batch_size: int, prompt_tokens: int, dtype: Dtype, chunk_tokens: int
) -> int:
    """Return the most bytes alive at once while a decoder is made, reads a prompt and generates."""
    model = HybridLM(architecture, seed=0).to(TORCH[dtype]).eval().requires_grad_(False)
    live = LiveTensors(list(model.parameters()))
    with live:
        decoder = Decoder(
            model,
            batch_size=batch_size,
            max_tokens=prompt_tokens + GENERATED,
            prefill_chunk_tokens=chunk_tokens,
        )
        if prompt_tokens:
            decoder.prefill(torch.randint(architecture.vocab_size, (batch_size, prompt_tokens)))
        decoder.extend(GENERATED - 1)
    return live.most


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("num_meta_tokens", "batch_size", "prompt_tokens", "dtype", "chunk_tokens"),
    [
        (0, 1, 300, "float32", 8192),
        (5, 4, 230, "float32", 100),
        (5, 1, 330, "bfloat16", 300),
        (0, 4, 130, "bfloat16", 8192),
        (0, 1, 0, "float32", 8192),
        (0, 4, 0, "bfloat16", 8192),
    ],
)
def test_what_is_predicted_is_what_a_decoder_holds(
    name: str, num_meta_tokens: int, batch_size: int, prompt_tokens: int, dtype: Dtype, chunk_tokens: int
) -> None:
    architecture = model_of(MODELS[name], num_meta_tokens=num_meta_tokens)
    predicted = inference_memory(
        architecture,
        max_tokens=prompt_tokens + GENERATED,
        dtype=dtype,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        prefill_chunk_tokens=chunk_tokens,
        device="cpu",
    )
    real = real_bytes(
        architecture, batch_size=batch_size, prompt_tokens=prompt_tokens, dtype=dtype, chunk_tokens=chunk_tokens
    )
    assert predicted.total == pytest.approx(real, rel=WITHIN)


def test_every_kind_of_operator_is_held_against_a_decoder() -> None:
    assert {type(spec) for operators in MODELS.values() for spec in operators} == set(get_args(OwnSpec))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_and_states_are_counted_to_the_byte(dtype: Dtype) -> None:
    architecture = model_of(MODELS["all at once"], num_meta_tokens=3)
    model = HybridLM(architecture, seed=0).to(TORCH[dtype])
    state = model.new_state(batch_size=3, max_tokens=50, device="cpu", dtype=TORCH[dtype])
    predicted = inference_memory(architecture, max_tokens=50, dtype=dtype, batch_size=3)
    assert predicted.weights == sum(weight.nbytes for weight in model.parameters())
    assert predicted.kv_cache + predicted.recurrent_state == state.num_bytes
    assert min(predicted.kv_cache, predicted.recurrent_state) > 0


def test_lengths_of_chunks_are_those_of_the_layers() -> None:
    assert (MAMBA2_CHUNK_TOKENS, DELTA_CHUNK_TOKENS) == (MAMBA2_CHUNK, DELTA_CHUNK)
    assert QUERY_BLOCK == {"cpu": CPU_QUERY_BLOCK, "cuda": GPU_QUERY_BLOCK}
    assert set(DTYPE_BYTES) == set(get_args(Dtype))


def test_a_workload_takes_what_its_sizes_take() -> None:
    workload = Workload(phase="both", batch_size=2, prompt_tokens=40, generated_tokens=20, dtype="bfloat16")
    architecture = model_of(MODELS["mamba2"])
    assert workload_memory(architecture, workload, device="cpu") == inference_memory(
        architecture, max_tokens=60, dtype="bfloat16", batch_size=2, prompt_tokens=40, device="cpu"
    )


def test_a_gpu_keeps_the_activations_of_a_step_in_its_graph_and_some_memory_for_itself() -> None:
    architecture = model_of(MODELS["mamba2"])
    on_cpu = inference_memory(architecture, max_tokens=60, dtype="bfloat16", device="cpu")
    on_gpu = inference_memory(architecture, max_tokens=60, dtype="bfloat16", device="cuda")
    assert on_cpu.slack == 0 < on_gpu.slack
    assert on_gpu.activations > on_cpu.activations
    assert (on_gpu.weights, on_gpu.kv_cache) == (on_cpu.weights, on_cpu.kv_cache)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_largest_batch_fits_and_one_more_does_not(device: Any) -> None:
    architecture = load_reference("nemotron-flash-1b")
    room = 22 * 2**30

    def total(batch_size: int) -> int:
        return inference_memory(
            architecture, max_tokens=8192, dtype="bfloat16", batch_size=batch_size, device=device
        ).total

    most = largest_batch(architecture, max_tokens=8192, dtype="bfloat16", memory_bytes=room, device=device)
    assert total(most) <= room < total(most + 1)


def test_a_model_that_does_not_fit_says_what_is_missing() -> None:
    architecture = load_reference("nemotron-flash-1b")
    with pytest.raises(SpecError, match=r"8192 tokens in bfloat16 takes .* GiB; got 1\.00 GiB, .* GiB short"):
        largest_batch(architecture, max_tokens=8192, dtype="bfloat16", memory_bytes=2**30)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1; got 0"),
        ({"max_tokens": 4, "batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"max_tokens": 4, "prompt_tokens": 5}, "prompt_tokens must be at most max_tokens=4; got 5"),
        ({"max_tokens": 4, "prefill_chunk_tokens": 0}, "prefill_chunk_tokens must be at least 1; got 0"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        inference_memory(model_of(MODELS["mamba2"]), dtype="float32", **sizes)


def test_what_a_layer_of_fla_holds_is_not_made_up() -> None:
    with pytest.raises(SpecError, match="of our own operators only; got fla:kda"):
        inference_memory(model_of((FlaSpec(layer="kda"),)), max_tokens=8, dtype="float32")
