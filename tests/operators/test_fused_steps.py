"""The fused one-token kernels against the torch steps: outputs and states over several tokens, interpreted."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from operators.base import Operator
from operators.registry import build_operator
from search_spaces.specs import (
    AttentionSpec,
    DeltaNetSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba2Spec,
    OperatorSpec,
)

CloseCheck = Callable[..., None]
WIDTH, STEPS = 24, 3

FUSED: dict[str, OperatorSpec] = {
    "deltanet": DeltaNetSpec(num_heads=2, head_dim=20),
    "deltanet, gate, negative eigenvalues": DeltaNetSpec(
        num_heads=3, head_dim=6, conv_width=3, output_gate=True, allow_negative_eigenvalues=True
    ),
    "deltanet, no convolution": DeltaNetSpec(num_heads=1, head_dim=16, conv_width=1),
    "gated deltanet": GatedDeltaNetSpec(num_heads=2, head_dim=8),
    "gated deltanet, more and wider values": GatedDeltaNetSpec(
        num_heads=2, head_dim=5, num_value_heads=6, value_head_dim=18, conv_width=2
    ),
    "gated deltanet, no gate": GatedDeltaNetSpec(num_heads=2, head_dim=4, value_head_dim=3, output_gate=False),
    "mamba2": Mamba2Spec(num_heads=3, head_dim=20, state_size=5),
    "mamba2, groups": Mamba2Spec(num_heads=6, head_dim=4, state_size=6, num_groups=3),
    "mamba2, groups, whole norm": Mamba2Spec(
        num_heads=4, head_dim=8, state_size=16, num_groups=2, conv_width=2, grouped_norm=False
    ),
    "mamba2 in a hybrid head": HybridHeadSpec(
        attention=AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8),
        ssm=Mamba2Spec(num_heads=2, head_dim=8, state_size=4),
    ),
}


def perturbed(spec: OperatorSpec, *, hidden_size: int, backend: str) -> Operator[Any]:
    operator = build_operator(spec, hidden_size=hidden_size, norm_eps=1e-6, backend=backend)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in operator.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return operator


def random_state(operator: Operator[Any], *, batch: int, device: str, dtype: torch.dtype) -> Any:
    state = operator.new_state(batch_size=batch, max_tokens=STEPS, device=device, dtype=dtype)
    generator = torch.Generator().manual_seed(7)
    for tensor in state.tensors():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return state


def compare(
    spec: OperatorSpec,
    assert_close: CloseCheck,
    *,
    batch: int,
    dtype: torch.dtype,
    within: float,
    hidden_size: int = WIDTH,
    device: str = "cpu",
) -> None:
    fused = perturbed(spec, hidden_size=hidden_size, backend="triton").to(device, dtype)
    plain = perturbed(spec, hidden_size=hidden_size, backend="reference").to(device, dtype)
    assert "triton" in fused.backend_at("step", torch.empty(0, device=device, dtype=dtype))
    states = [random_state(operator, batch=batch, device=device, dtype=dtype) for operator in (fused, plain)]
    x_SBD = torch.randn(STEPS, batch, hidden_size, generator=torch.Generator().manual_seed(9)).to(device, dtype)
    for x_BD in x_SBD:
        assert_close(fused.step(x_BD, states[0]), plain.step(x_BD, states[1]), within=within)
    for mine, other in zip(*(state.tensors() for state in states), strict=True):
        if mine.numel():
            assert_close(mine.float(), other.float(), within=within, what="state")


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(("batch", "dtype", "within"), [(3, torch.float32, 1e-5), (1, torch.bfloat16, 1e-2)])
def test_a_fused_step_is_the_torch_step(
    assert_close: CloseCheck, name: str, batch: int, dtype: torch.dtype, within: float
) -> None:
    compare(FUSED[name], assert_close, batch=batch, dtype=dtype, within=within)


def test_unwritten_scratch_is_never_read() -> None:
    operator = perturbed(FUSED["mamba2, groups"], hidden_size=WIDTH, backend="triton")
    state = random_state(operator, batch=2, device="cpu", dtype=torch.float32)
    x_BD = torch.randn(2, WIDTH)
    operator.step(x_BD, state)
    state.scratch.unfinished.fill_(float("nan"))
    assert operator.step(x_BD, state).isfinite().all()
    assert (state.scratch.counters == 0).all()


def test_a_state_of_its_own_follows_a_deep_copy(assert_close: CloseCheck) -> None:
    operator = perturbed(FUSED["deltanet"], hidden_size=WIDTH, backend="triton")
    state = random_state(operator, batch=1, device="cpu", dtype=torch.float32)
    x_BD = torch.randn(1, WIDTH)
    operator.step(x_BD, state)
    twin = copy.deepcopy(state)
    assert_close(operator.step(x_BD, twin), operator.step(x_BD, state))


REAL: dict[str, OperatorSpec] = {
    "deltanet": DeltaNetSpec(num_heads=16, head_dim=128),
    "gated deltanet": GatedDeltaNetSpec(num_heads=16, head_dim=128, num_value_heads=32),
    "mamba2": Mamba2Spec(num_heads=64, head_dim=64, state_size=128),
    "mamba2, groups": Mamba2Spec(num_heads=64, head_dim=80, state_size=128, num_groups=8),
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_a_fused_step_is_the_torch_step_on_a_gpu(
    assert_close: CloseCheck, name: str, batch: int, dtype: torch.dtype, within: float
) -> None:
    compare(REAL[name], assert_close, batch=batch, dtype=dtype, within=within, hidden_size=2048, device="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("name", REAL)
def test_a_fused_step_is_replayed_in_a_graph(assert_close: CloseCheck, name: str) -> None:
    operator = perturbed(REAL[name], hidden_size=2048, backend="triton").cuda().bfloat16()
    states = [random_state(operator, batch=1, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
    x_BD = torch.randn(1, 2048, device="cuda", dtype=torch.bfloat16)
    operator.step(x_BD, states[0])
    for tensor, fresh in zip(states[0].tensors(), states[1].tensors(), strict=True):
        tensor.copy_(fresh)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed: Tensor = operator.step(x_BD, states[0])
    for _ in range(STEPS):
        graph.replay()
        assert_close(replayed, operator.step(x_BD, states[1]), within=1e-2)
