"""The fused attention step against the torch step: outputs and caches over many tokens, in Triton's interpreter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import operators.attention.kernels as kernels
from operators.attention.kernels import attention_step, new_scratch
from operators.base import Operator, SequenceContext
from operators.registry import build_operator
from search_spaces.specs import AttentionSpec, HybridHeadSpec, Mamba1Spec, OperatorSpec, RopeScaling

CloseCheck = Callable[..., None]
WIDTH = 24

GROUPED = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8)
CASES: dict[str, tuple[OperatorSpec, int]] = {
    "a key head for every query head": (AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=8), 0),
    "groups, norms, rotation, biases": (
        AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=12, qk_norm=True, rope_theta=1e4, bias=True),
        2,
    ),
    "one key head, half of it rotated": (
        AttentionSpec(
            num_heads=3,
            num_kv_heads=1,
            head_dim=16,
            qk_norm=True,
            rope_theta=100.0,
            rotary_fraction=0.5,
            rope_scaling=RopeScaling(factor=4.0, original_max_tokens=16),
        ),
        0,
    ),
    "a window": (AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=8, window=5, rope_theta=1e4), 0),
    "a window behind meta tokens": (AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8, window=5), 3),
    "a window of one token behind one meta token": (
        AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8, window=1),
        1,
    ),
    "wider values": (AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=6, value_head_dim=20, window=7), 1),
    "an output gate": (
        AttentionSpec(
            num_heads=4, num_kv_heads=2, head_dim=8, value_head_dim=12, rope_theta=1e4, bias=True, output_gate=True
        ),
        1,
    ),
    "an output gate, one query head": (
        AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=8, window=4, output_gate=True),
        0,
    ),
    "a hybrid head with an output gate": (
        HybridHeadSpec(
            attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6, value_head_dim=12, output_gate=True),
            ssm=Mamba1Spec(inner_size=48, dt_rank=2),
        ),
        0,
    ),
    "a hybrid head": (
        HybridHeadSpec(
            attention=AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=6, value_head_dim=12, window=6),
            ssm=Mamba1Spec(inner_size=48, dt_rank=2),
        ),
        2,
    ),
}


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide even a few tokens among programs."""
    monkeypatch.setattr(kernels, "LEAST_TOKENS", 3)


def built(spec: OperatorSpec, *, backend: str, width: int = WIDTH) -> Operator[Any]:
    operator = build_operator(spec, hidden_size=width, norm_eps=1e-6, backend=backend)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in operator.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return operator


def both(spec: OperatorSpec) -> list[Operator[Any]]:
    return [built(spec, backend=name) for name in ("triton", "reference")]


def assert_states_close(assert_close: CloseCheck, states: list[Any], *, within: float) -> None:
    for mine, other in zip(*(state.tensors() for state in states), strict=True):
        if mine.is_floating_point():
            assert_close(mine.float(), other.float(), within=within, what="state")
        else:
            assert torch.equal(mine, other)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("batch", "dtype", "within"), [(1, torch.float32, 1e-5), (3, torch.bfloat16, 1e-2)])
def test_every_step_is_the_torch_step(
    assert_close: CloseCheck, name: str, batch: int, dtype: torch.dtype, within: float
) -> None:
    spec, num_meta_tokens = CASES[name]
    tokens = 14 if batch == 1 else 8
    fused, plain = (operator.to(dtype) for operator in both(spec))
    assert fused.backend_at("step", torch.empty(0, dtype=dtype)).startswith("triton")
    states = [
        operator.new_state(
            batch_size=batch, max_tokens=tokens, device="cpu", dtype=dtype, num_meta_tokens=num_meta_tokens
        )
        for operator in (fused, plain)
    ]
    for x_BD in torch.randn(tokens, batch, WIDTH, generator=torch.Generator().manual_seed(9)).to(dtype):
        assert_close(fused.step(x_BD, states[0]), plain.step(x_BD, states[1]), within=within)
    assert_states_close(assert_close, states, within=within)


def test_a_prompt_of_several_blocks_is_read_by_several_programs(assert_close: CloseCheck) -> None:
    spec = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8, rope_theta=1e4, window=90)
    operators, prompt, states = both(spec), 110, []
    x_BTD = torch.randn(3, prompt + 2, WIDTH, generator=torch.Generator().manual_seed(3))
    for operator in operators:
        states.append(operator.new_state(batch_size=3, max_tokens=120, device="cpu", dtype=torch.float32))
        with torch.no_grad():
            operator(x_BTD[:, :prompt], state=states[-1], context=SequenceContext(start=0))
    for t in range(prompt, prompt + 2):
        fused, plain = (operator.step(x_BTD[:, t], state) for operator, state in zip(operators, states, strict=True))
        assert_close(fused, plain, within=1e-5)
    assert_states_close(assert_close, states, within=1e-5)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("windows", [(None, None), (4, 4), (3, 6)], ids=str)
def test_an_operator_reads_the_cache_of_another_with_other_heads_and_window(
    assert_close: CloseCheck, windows: tuple[int | None, int | None]
) -> None:
    tokens, outputs, caches = 12, [], []
    x_SBD = torch.randn(tokens, 1, WIDTH, generator=torch.Generator().manual_seed(4))
    shared = {"num_kv_heads": 1, "head_dim": 8, "rope_theta": 1e4, "qk_norm": True}
    for name in ("triton", "reference"):
        source: Any = built(AttentionSpec(num_heads=2, window=windows[0], **shared), backend=name)
        source.heads.cache_window = windows[1]
        reader = built(
            AttentionSpec(num_heads=3, window=windows[1], shares_kv_with=0, output_gate=True, **shared), backend=name
        )
        memory = {"batch_size": 1, "max_tokens": tokens, "device": "cpu", "dtype": torch.float32}
        cache = source.new_state(num_meta_tokens=2, **memory)
        view = reader.new_state(num_meta_tokens=2, source=cache, **memory)
        outputs.append(torch.stack([source.step(x_BD, cache) + reader.step(x_BD, view) for x_BD in x_SBD]))
        caches.append(cache)
    assert_close(*outputs, within=1e-5)
    assert_states_close(assert_close, caches, within=1e-5)


@pytest.mark.usefixtures("short_runs")
def test_neither_empty_slots_nor_old_scratch_are_read() -> None:
    operator = built(GROUPED, backend="triton")
    state = operator.new_state(batch_size=1, max_tokens=40, device="cpu", dtype=torch.float32)
    state.keys.fill_(float("nan"))
    state.values.fill_(float("nan"))
    for x_BD in torch.randn(8, 1, WIDTH):
        assert operator.step(x_BD, state).isfinite().all()
        scratch = state.scratch[GROUPED.num_heads]
        scratch.unfinished.fill_(float("nan"))
        assert (scratch.counters == 0).all()


def test_a_token_beyond_the_cache_is_not_written_and_gives_no_number() -> None:
    keys, values = torch.randn(1, 4, 2, 8), torch.randn(1, 4, 2, 8)
    kept = [keys.clone(), values.clone()]
    y_BI = attention_step(
        torch.randn(1, 8 * (4 + 2 + 2)),
        keys_BSGK=keys,
        values_BSGV=values,
        position=torch.tensor(4),
        num_heads=4,
        num_meta_tokens=0,
        window=None,
        wraps=False,
        has_own_kv=True,
        scratch=new_scratch(keys, values, num_heads=4),
    )
    assert y_BI.isnan().all()
    assert torch.equal(keys, kept[0])
    assert torch.equal(values, kept[1])


REAL: dict[str, AttentionSpec] = {
    "full": AttentionSpec(num_heads=16, num_kv_heads=4, head_dim=128, qk_norm=True, rope_theta=1e6),
    "window": AttentionSpec(num_heads=16, num_kv_heads=8, head_dim=64, value_head_dim=128, window=1024, rope_theta=1e4),
    "ungrouped": AttentionSpec(num_heads=16, num_kv_heads=16, head_dim=128, rope_theta=1e4, rotary_fraction=0.25),
    "wide heads": AttentionSpec(num_heads=16, num_kv_heads=2, head_dim=256, rope_theta=1e4),
    "output gate": AttentionSpec(
        num_heads=8, num_kv_heads=2, head_dim=256, qk_norm=True, rope_theta=1e7, rotary_fraction=0.25, output_gate=True
    ),
}


def filled(operator: Operator[Any], *, batch: int, tokens: int, dtype: torch.dtype) -> Any:
    state = operator.new_state(batch_size=batch, max_tokens=2 * tokens, device="cuda", dtype=dtype, num_meta_tokens=16)
    for tensor in (state.keys, state.values):
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7)))
    state.position.fill_(tokens)
    return state


@pytest.mark.gpu
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("batch", "tokens"), [(1, 9), (1, 4000), (4, 1500)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 1e-2)])
def test_every_step_is_the_torch_step_on_a_gpu(
    assert_close: CloseCheck, name: str, batch: int, tokens: int, dtype: torch.dtype, within: float
) -> None:
    operators = [built(REAL[name], backend=backend, width=512).cuda().to(dtype) for backend in ("triton", "reference")]
    states = [filled(operator, batch=batch, tokens=tokens, dtype=dtype) for operator in operators]
    for x_BD in torch.randn(4, batch, 512, generator=torch.Generator().manual_seed(9)).cuda().to(dtype):
        fused, plain = (operator.step(x_BD, state) for operator, state in zip(operators, states, strict=True))
        assert_close(fused, plain, within=within)
    assert_states_close(assert_close, states, within=within)


@pytest.mark.gpu
@pytest.mark.parametrize("name", REAL)
def test_a_step_is_replayed_in_a_graph_as_the_cache_fills(assert_close: CloseCheck, name: str) -> None:
    operator = built(REAL[name], backend="triton", width=512).cuda().bfloat16()
    states = [filled(operator, batch=1, tokens=1020, dtype=torch.bfloat16) for _ in range(2)]
    x_BD = torch.randn(1, 512, device="cuda", dtype=torch.bfloat16)
    operator.step(x_BD, states[0])
    operator.step(x_BD, states[1])
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed: Tensor = operator.step(x_BD, states[0])
    for _ in range(10):
        graph.replay()
        assert_close(replayed, operator.step(x_BD, states[1]), within=1e-2)
    assert torch.equal(states[0].position, states[1].position)
