"""Costs against the real modules, and against published figures."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from operators import cost
from operators.model import HybridLM, ResidualOperator
from search_spaces.architecture import Architecture
from search_spaces.references import load_reference, reference_names
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, HybridHeadSpec, Mamba2Spec, OperatorSpec

EXACT = {
    "nemotron-flash-1b": 965_389_440,
    "nemotron-flash-3b": 2_749_998_624,
    "nemotron-h-8b": 8_100_852_736,
    "nemotron-h-56b": 56_324_350_464,
    "nemotron-nano-9b-v2": 8_888_227_328,
    "nemotron-nano-12b-v2": 12_310_001_152,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "llama-3.2-1b": 1_235_814_400,
    "hymba-1.5b": 1_522_797_824,
}


def on_meta(architecture: Architecture) -> HybridLM:
    with torch.device("meta"):
        return HybridLM(architecture, seed=0)


def real_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", EXACT)
def test_published_architectures_have_their_published_parameters(name: str) -> None:
    assert cost.num_parameters(load_reference(name)) == EXACT[name]


@pytest.mark.parametrize("name", reference_names())
def test_published_architectures_cost_what_their_modules_hold(name: str) -> None:
    architecture = load_reference(name)
    model = on_meta(architecture)
    assert cost.num_parameters(architecture) == real_parameters(model)
    state = model.new_state(batch_size=2, max_tokens=3000, device="meta", dtype=torch.bfloat16)
    assert cost.state_bytes(architecture, batch_size=2, context_tokens=3000, dtype_bytes=2) == state.num_bytes


def test_parameters_of_every_operator_are_those_of_its_module(spec: OperatorSpec, hidden_size: int) -> None:
    with torch.device("meta"):
        layer = ResidualOperator(spec, hidden_size=hidden_size, norm_eps=1e-6)
    assert cost.operator_parameters(spec, hidden_size=hidden_size) == real_parameters(layer)


@pytest.mark.parametrize("context_tokens", [1, 5, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_bytes_of_every_operator_are_those_of_its_state(
    spec: OperatorSpec, hidden_size: int, context_tokens: int, dtype: torch.dtype
) -> None:
    architecture = Architecture(hidden_size=hidden_size, operators=(spec,), vocab_size=7, num_meta_tokens=3)
    state = on_meta(architecture).new_state(batch_size=2, max_tokens=context_tokens, device="meta", dtype=dtype)
    expected = cost.state_bytes(architecture, batch_size=2, context_tokens=context_tokens, dtype_bytes=dtype.itemsize)
    assert expected == state.num_bytes


@pytest.mark.parametrize("windows", [(None, 8), (8, None), (4, 8), (8, 4)])
def test_sharing_keys_and_values_costs_what_the_modules_hold(windows: tuple[int | None, int | None]) -> None:
    source, reader = (
        AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6, window=window, qk_norm=True) for window in windows
    )
    reader = replace(reader, shares_kv_with=0)
    hybrid = HybridHeadSpec(attention=reader, ssm=Mamba2Spec(num_heads=3, head_dim=8, state_size=5))
    architecture = Architecture(hidden_size=24, operators=(source, reader, hybrid), vocab_size=7, num_meta_tokens=2)
    model = on_meta(architecture)
    assert cost.num_parameters(architecture) == real_parameters(model)
    state = model.new_state(batch_size=1, max_tokens=50, device="meta", dtype=torch.float32)
    assert state.num_bytes == cost.state_bytes(architecture, batch_size=1, context_tokens=50, dtype_bytes=4)
    alone = replace(reader, shares_kv_with=None)
    assert cost.operator_parameters(alone, hidden_size=24, is_kv_shared=True) == cost.operator_parameters(
        reader, hidden_size=24
    )


@pytest.mark.parametrize("ties", [True, False])
def test_embedding_head_and_meta_tokens_are_told_apart(ties: bool) -> None:
    architecture = Architecture(
        hidden_size=10,
        operators=(FFNSpec(intermediate_size=3),),
        vocab_size=100,
        num_meta_tokens=4,
        tie_embeddings=ties,
    )
    ffn_and_norms = 10 * 3 * 3 + 10 + 10
    assert cost.num_non_embedding_parameters(architecture) == ffn_and_norms + 4 * 10
    assert cost.num_parameters(architecture) == ffn_and_norms + 40 + (1000 if ties else 2000)
    assert cost.weight_bytes(architecture, dtype_bytes=2) == 2 * cost.num_parameters(architecture)


def flops_of(spec: OperatorSpec, *, context_tokens: int, num_meta_tokens: int = 0) -> int:
    architecture = Architecture(hidden_size=10, operators=(spec,), vocab_size=1, num_meta_tokens=num_meta_tokens)
    return cost.flops_per_token(architecture, context_tokens=context_tokens) - 2 * 10


@pytest.mark.parametrize(
    ("context_tokens", "window", "meta", "seen"), [(0, None, 0, 1), (9, None, 2, 12), (9, 4, 2, 6), (2, 4, 0, 3)]
)
def test_attention_flops_grow_with_what_a_query_sees(
    context_tokens: int, window: int | None, meta: int, seen: int
) -> None:
    spec = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=4, value_head_dim=3, window=window)
    projections = 2 * 10 * (8 + 4 + 3 + 6)
    scores_and_values = 2 * 2 * (4 + 3) * seen
    assert flops_of(spec, context_tokens=context_tokens, num_meta_tokens=meta) == projections + scores_and_values


def test_flops_of_recurrent_operators_do_not_know_the_context() -> None:
    mamba = Mamba2Spec(num_heads=2, head_dim=4, state_size=5)
    in_out = 2 * 10 * (8 + 8 + 5 + 5 + 2 + 8)
    assert flops_of(mamba, context_tokens=3) == flops_of(mamba, context_tokens=30_000)
    assert flops_of(mamba, context_tokens=3) == in_out + 2 * 18 * 4 + 2 * 2 * (8 * 5)
    deltanet = DeltaNetSpec(num_heads=2, head_dim=4)
    assert flops_of(deltanet, context_tokens=3) == 2 * 10 * (24 + 2 + 8) + 2 * 24 * 4 + 2 * 3 * (2 * 16)


def test_flops_equal_those_of_matrix_products_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    architecture = Architecture(
        hidden_size=16,
        operators=(FFNSpec(intermediate_size=20), AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8)),
        vocab_size=30,
    )
    model = HybridLM(architecture, seed=0, backend="reference")
    state = model.new_state(batch_size=1, max_tokens=6, device="cpu", dtype=torch.float32)
    model.prefill(torch.arange(5)[None], state)
    with FlopCounterMode(display=False) as counter:
        model.step(torch.tensor([1]), state)
    assert counter.get_total_flops() == cost.flops_per_token(architecture, context_tokens=5)


def test_costs_import_without_torch() -> None:
    code = "import sys; import operators.cost; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
