"""One token through norm, operator and residual in our kernels against the torch chain, interpreted."""

from collections.abc import Callable

import pytest
import torch

from operators import fused_projection
from operators.model import HybridLM, ResidualOperator
from search_spaces.architecture import Architecture
from search_spaces.specs import FFNSpec, OperatorSpec

CloseCheck = Callable[..., None]
HIDDEN_SIZE, STEPS, META = 24, 2, 2


def architecture(spec: OperatorSpec) -> Architecture:
    return Architecture(hidden_size=HIDDEN_SIZE, operators=(spec,), vocab_size=11, num_meta_tokens=META)


def vary_vectors(model: HybridLM) -> HybridLM:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def test_logits_and_states_are_those_of_the_chain(spec: OperatorSpec, assert_close: CloseCheck) -> None:
    tokens_TB = torch.randint(11, (STEPS, 1), generator=torch.Generator().manual_seed(3))
    logits, states = [], []
    for backend in ("triton", "reference"):
        model = vary_vectors(HybridLM(architecture(spec), seed=1, backend=backend))
        state = model.new_state(batch_size=1, max_tokens=STEPS, device="cpu", dtype=torch.float32)
        logits.append(torch.stack([model.step(tokens_B, state) for tokens_B in tokens_TB]))
        states.append([tensor for tensor in state.tensors() if tensor.is_floating_point() and tensor.numel()])
    assert_close(*logits, what="logits")
    for fused, plain in zip(*states, strict=True):
        assert_close(fused, plain, what="state")


def test_norm_projection_and_residual_take_one_launch_on_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    launches: list[str] = []
    multiply = fused_projection.projected

    def noted(x: torch.Tensor, weight: torch.Tensor, **options: object) -> torch.Tensor:
        launches.append("+".join(name for name, value in options.items() if isinstance(value, torch.Tensor)))
        return multiply(x, weight, **options)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr("operators.projected.projected", noted)
    layer = ResidualOperator(FFNSpec(intermediate_size=8), hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend="triton")
    state = layer.new_state(batch_size=1, max_tokens=1, device="cpu", dtype=torch.float32)
    layer.step(torch.ones(1, HIDDEN_SIZE), state)
    assert launches == ["residual_BO"], "the projection to the inner width is the activation's launch"


def test_a_batch_beyond_the_kernels_goes_through_matrix_products(
    assert_close: CloseCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> torch.Tensor:
        raise AssertionError("not for so large a batch")

    monkeypatch.setattr("operators.projected.projected", refuse)
    layer, plain = (
        ResidualOperator(FFNSpec(intermediate_size=8), hidden_size=HIDDEN_SIZE, norm_eps=1e-6, backend=backend)
        for backend in ("triton", "reference")
    )
    x_BD = torch.randn(17, HIDDEN_SIZE)
    state = layer.new_state(batch_size=17, max_tokens=1, device="cpu", dtype=torch.float32)
    assert_close(layer.step(x_BD, state), plain.step(x_BD, state))
