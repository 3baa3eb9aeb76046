"""What generating moves, against the real modules and their states."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from operators.attention.sight import Sight, Span
from operators.attention.state import cache_of
from operators.cost import weight_bytes
from operators.model import HybridLM
from operators.traffic import decode_bytes, step_weight_bytes
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError
from search_spaces.references import load_reference
from search_spaces.specs import AttentionSpec, FFNSpec, FlaSpec, HybridHeadSpec, Mamba2Spec, OperatorSpec

WIDTH, VOCAB = 24, 7
ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6)
SSM = Mamba2Spec(num_heads=3, head_dim=8, state_size=5)
KV_BYTES = 2 * 2 * 6 * 4
"""Keys and values of one token in that attention, float32."""


def model_of(*operators: OperatorSpec, hidden_size: int = WIDTH, meta: int = 0, tied: bool = True) -> Architecture:
    return Architecture(
        hidden_size=hidden_size, operators=operators, vocab_size=VOCAB, num_meta_tokens=meta, tie_embeddings=tied
    )


def on_meta(architecture: Architecture) -> HybridLM:
    with torch.device("meta"):
        return HybridLM(architecture, seed=0)


def one_step(architecture: Architecture, *, context: int, batch: int = 1) -> int:
    return decode_bytes(architecture, batch_size=batch, first_context=context, num_steps=1, dtype_bytes=4)


@pytest.mark.parametrize("name", ["nemotron-flash-1b", "nemotron-h-8b", "hymba-1.5b", "qwen3-0.6b"])
def test_a_step_reads_every_weight_once_but_the_embedding_and_the_meta_tokens(name: str) -> None:
    architecture = load_reference(name)
    model = on_meta(architecture)
    read = {id(p): p for p in (*model.layers.parameters(), *model.norm.parameters(), model.head_weight)}
    assert step_weight_bytes(architecture, dtype_bytes=2) == sum(2 * p.numel() for p in read.values())


def test_the_head_is_read_whether_it_is_tied_or_not() -> None:
    tied, untied = (model_of(FFNSpec(intermediate_size=8), tied=tied) for tied in (True, False))
    assert step_weight_bytes(tied, dtype_bytes=4) == step_weight_bytes(untied, dtype_bytes=4)
    assert step_weight_bytes(tied, dtype_bytes=4) == weight_bytes(tied, dtype_bytes=4)


@pytest.mark.parametrize("context", [0, 1, 9, 100])
def test_every_operator_moves_what_its_state_holds_and_its_step_sees(
    spec: OperatorSpec, hidden_size: int, context: int
) -> None:
    meta, batch = 3, 2
    architecture = model_of(spec, hidden_size=hidden_size, meta=meta)
    model = HybridLM(architecture, seed=0)
    states = model.new_state(batch_size=batch, max_tokens=context + 1, device="cpu", dtype=torch.float32)
    (state,) = states.operators
    caches = []
    moved = batch * hidden_size * 4
    if isinstance(spec, AttentionSpec | HybridHeadSpec):
        attention = spec if isinstance(spec, AttentionSpec) else spec.attention
        cache = cache_of(state)
        caches = [cache.keys, cache.values]
        sight = Sight(
            start=meta + context,
            num_queries=1,
            num_keys=meta + context + 1,
            num_meta_tokens=meta,
            window=attention.window,
        )
        seen = int(sight.mask(Span(0, 1), device=torch.device("cpu")).sum())
        # Those of the earlier tokens are read, those of the step's own are written.
        moved += sum(seen * tensor[:, 0].nbytes for tensor in caches)
    is_cache = {id(tensor) for tensor in caches}
    moved += sum(2 * x.nbytes for x in state.tensors() if x.is_floating_point() and id(x) not in is_cache)
    weights = step_weight_bytes(architecture, dtype_bytes=4)
    assert one_step(architecture, context=context, batch=batch) == weights + moved


@pytest.mark.parametrize("window", [None, 1, 5, 40])
@pytest.mark.parametrize("first", [0, 3, 30])
def test_steps_in_a_row_move_the_sum_of_the_steps(window: int | None, first: int) -> None:
    architecture = model_of(replace(ATTENTION, window=window), SSM, meta=2)
    together = decode_bytes(architecture, batch_size=3, first_context=first, num_steps=20, dtype_bytes=4)
    assert together == sum(one_step(architecture, context=first + step, batch=3) for step in range(20))


def test_a_token_more_in_the_cache_is_read_until_the_window_is_full() -> None:
    full, windowed = model_of(ATTENTION), model_of(replace(ATTENTION, window=8))
    assert one_step(full, context=101) - one_step(full, context=100) == KV_BYTES
    assert one_step(windowed, context=7) - one_step(windowed, context=6) == KV_BYTES
    assert one_step(windowed, context=8) == one_step(windowed, context=7)


def test_meta_tokens_are_read_besides_the_window() -> None:
    without, with_meta = (model_of(replace(ATTENTION, window=8), meta=meta) for meta in (0, 5))
    assert one_step(with_meta, context=50) - one_step(without, context=50) == 5 * KV_BYTES


def test_every_reader_of_a_shared_cache_reads_it_through_its_own_window_and_one_writes_it() -> None:
    reader = replace(ATTENTION, shares_kv_with=0, window=8)
    hybrid = HybridHeadSpec(attention=replace(reader, window=None), ssm=SSM)
    source, shared = model_of(ATTENTION), model_of(ATTENTION, reader, hybrid)
    context = 50

    def caches(architecture: Architecture) -> int:
        return one_step(architecture, context=context) - one_step(architecture, context=0)

    assert caches(source) == context * KV_BYTES
    assert caches(shared) == (context + 7 + context) * KV_BYTES
    pair = model_of(ATTENTION, reader)
    assert one_step(pair, context=0) - step_weight_bytes(pair, dtype_bytes=4) == KV_BYTES + WIDTH * 4


def test_weights_are_read_once_for_a_whole_batch() -> None:
    architecture = model_of(ATTENTION, SSM)
    weights = step_weight_bytes(architecture, dtype_bytes=4)
    alone = one_step(architecture, context=9) - weights
    assert one_step(architecture, context=9, batch=6) == weights + 6 * alone


def test_a_layer_of_fla_is_refused() -> None:
    with pytest.raises(SpecError, match="known of our own operators only; got fla:kda"):
        one_step(model_of(FlaSpec(layer="kda")), context=1)


def test_traffic_is_counted_without_torch() -> None:
    code = "import sys, operators.traffic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
