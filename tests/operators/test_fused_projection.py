"""Fused products of one token against the chains they replace, interpreted, and on a GPU where there is one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from operators.fused_projection import gated, gated_reference, projected, projected_reference
from operators.projection_kernels import rows_a_program
from search_spaces.errors import SpecError
from search_spaces.specs import Activation

CloseCheck = Callable[..., None]

WITHIN = {torch.float32: 1e-5, torch.float16: 4e-4, torch.bfloat16: 3e-2}
"""About one rounding in float16: both sides round in the same places. The interpreter cuts bfloat16 off instead."""

SIZES = [(1, 1), (7, 13), (18, 1100)]
"""Outputs and columns."""

ACTIVATIONS: tuple[Activation, ...] = ("swiglu", "relu2", "gelu")


def inside_nan(*shape: int, dtype: torch.dtype, seed: int, scale: float = 1.0) -> Tensor:
    """Return random numbers with columns side by side, in a larger buffer of NaN before, between and behind."""
    buffer = torch.full((shape[0] + 2, shape[1] + 3), float("nan"), dtype=dtype)
    inside = buffer[1:-1, : shape[1]]
    inside.copy_(scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    return inside


def matrix(outputs: int, columns: int, *, dtype: torch.dtype) -> Tensor:
    """Return a contiguous random matrix, with NaN before and behind it."""
    buffer = torch.full((outputs + 2, columns), float("nan"), dtype=dtype)
    weight = buffer[1:-1]
    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * columns**-0.5)
    return weight


def vector(size: int, *, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("batch", [1, 2, 3, 16])
@pytest.mark.parametrize(("outputs", "columns"), SIZES)
def test_a_fused_projection_is_the_chain_of_norm_product_and_sums(
    assert_close: CloseCheck, dtype: torch.dtype, batch: int, outputs: int, columns: int
) -> None:
    x_BD = inside_nan(batch, columns, dtype=dtype, seed=1, scale=3.0)
    weight_OD = matrix(outputs, columns, dtype=dtype)
    options: dict[str, Any] = {
        "norm_weight_D": vector(columns, dtype=dtype, seed=3),
        "eps": 1e-2,
        "bias_O": vector(outputs, dtype=dtype, seed=4),
        "residual_BO": inside_nan(batch, outputs, dtype=dtype, seed=5),
    }
    y_BO = projected(x_BD, weight_OD, **options)
    assert y_BO.dtype == dtype
    assert_close(y_BO, projected_reference(x_BD, weight_OD, **options), within=WITHIN[dtype])


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("batch", [2, 6])
def test_norm_bias_and_residual_may_each_be_absent(
    assert_close: CloseCheck, *, normed: bool, biased: bool, residual: bool, batch: int
) -> None:
    dtype = torch.float16
    x_BD = inside_nan(batch, 50, dtype=dtype, seed=1, scale=3.0)
    weight_OD = matrix(21, 50, dtype=dtype)
    options: dict[str, Any] = {
        "norm_weight_D": vector(50, dtype=dtype, seed=3) if normed else None,
        "eps": 1e-6,
        "bias_O": vector(21, dtype=dtype, seed=4) if biased else None,
        "residual_BO": inside_nan(batch, 21, dtype=dtype, seed=5) if residual else None,
    }
    expected = projected_reference(x_BD, weight_OD, **options)
    assert_close(projected(x_BD, weight_OD, **options), expected, within=WITHIN[dtype])


@pytest.mark.parametrize("dtype", WITHIN)
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normed", [False, True])
def test_a_fused_gate_is_the_chain_of_norm_product_and_activation(
    assert_close: CloseCheck, dtype: torch.dtype, batch: int, activation: Activation, *, normed: bool
) -> None:
    x_BD = inside_nan(batch, 77, dtype=dtype, seed=1, scale=3.0)
    weight = matrix(2 * 19 if activation == "swiglu" else 19, 77, dtype=dtype)
    options: dict[str, Any] = {
        "norm_weight_D": vector(77, dtype=dtype, seed=3) if normed else None,
        "eps": 1e-6,
        "activation": activation,
    }
    h_BF = gated(x_BD, weight, **options)
    assert h_BF.shape == (batch, 19)
    assert_close(h_BF, gated_reference(x_BD, weight, **options), within=WITHIN[dtype])


@pytest.mark.parametrize("batch", [4, 5])
def test_the_norm_is_rounded_before_the_product(batch: int) -> None:
    # Differences of numbers close to one another: what they were rounded to is all that is left.
    x_BD = inside_nan(batch, 8, dtype=torch.float16, seed=1)
    x_BD[:, 4:] = 1.003 * x_BD[:, :4]
    weight_OD = torch.cat((torch.eye(4), -torch.eye(4)), dim=1).half()
    norm = {"norm_weight_D": vector(4, dtype=torch.float32, seed=3).repeat(2)}
    y_BO = projected(x_BD, weight_OD, eps=1e-6, **norm)
    unrounded = projected_reference(x_BD.float(), weight_OD.float(), eps=1e-6, **norm).half()
    assert torch.equal(y_BO, projected_reference(x_BD, weight_OD, eps=1e-6, **norm))
    assert not torch.equal(y_BO, unrounded)


def test_few_and_many_tokens_are_computed_alike(assert_close: CloseCheck) -> None:
    x_BD = inside_nan(6, 200, dtype=torch.float16, seed=1)
    weight_OD = matrix(20, 200, dtype=torch.float16)
    one_by_one = torch.cat([projected(x_BD[b : b + 1], weight_OD) for b in range(6)])
    assert_close(projected(x_BD, weight_OD), one_by_one, within=2e-4)


def test_an_infinite_input_concerns_its_own_token_only() -> None:
    x_BD = inside_nan(6, 30, dtype=torch.float16, seed=1)
    x_BD[2, 7] = float("nan")
    y_BO = projected(x_BD, matrix(5, 30, dtype=torch.float16), norm_weight_D=torch.ones(30).half(), eps=1e-6)
    assert y_BO.isfinite().all(dim=1).tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("num_outputs", "row_bytes", "rows"), [(2048, 4096, 4), (131072, 4096, 4), (1024, 2048, 2), (64, 4096, 1)]
)
def test_programs_fill_a_gpu_with_16_kib_at_most(num_outputs: int, row_bytes: int, rows: int) -> None:
    assert rows_a_program(num_outputs, row_bytes=row_bytes) == rows


X, W = torch.ones(2, 6), torch.ones(4, 6)


@pytest.mark.parametrize(
    ("message", "x", "weight", "options"),
    [
        ("1 to 16 rows", torch.ones(17, 6), W, {}),
        ("1 to 16 rows", torch.ones(1, 2, 6), W, {}),
        ("share a dtype", X.half(), W, {}),
        ("at most 32 bits", X.double(), W.double(), {}),
        (r"\[outputs, 6\]", X, torch.ones(4, 5), {}),
        ("contiguous", X, torch.ones(6, 4).T, {}),
        ("contiguous", torch.ones(6, 2).T, W, {}),
        ("norm_weight_D", X, W, {"norm_weight_D": torch.ones(5)}),
        ("bias_O", X, W, {"bias_O": torch.ones(6)}),
        ("residual_BO", X, W, {"residual_BO": torch.ones(4)}),
        ("residual_BO", X, W, {"residual_BO": torch.ones(4, 2).T}),
    ],
)
def test_what_the_kernels_cannot_read_is_refused(
    message: str, x: Tensor, weight: Tensor, options: dict[str, Tensor]
) -> None:
    with pytest.raises(SpecError, match=message):
        projected(x, weight, **options)


def test_gates_without_their_other_half_are_refused() -> None:
    with pytest.raises(SpecError, match="even number of rows"):
        gated(X, torch.ones(3, 6), activation="swiglu")


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
@pytest.mark.parametrize("batch", [1, 2, 3, 8, 16])
@pytest.mark.parametrize(("outputs", "columns"), [(2048, 2048), (2047, 1535), (16384, 2560), (1024, 8192)])
def test_a_fused_projection_is_the_chain_on_a_gpu(
    assert_close: CloseCheck, dtype: torch.dtype, within: float, batch: int, outputs: int, columns: int
) -> None:
    x_BD, weight_OD, residual_BO = (
        tensor.cuda()
        for tensor in (
            inside_nan(batch, columns, dtype=dtype, seed=1),
            matrix(outputs, columns, dtype=dtype),
            inside_nan(batch, outputs, dtype=dtype, seed=5),
        )
    )
    norm: dict[str, Any] = {"norm_weight_D": vector(columns, dtype=dtype, seed=3).cuda(), "eps": 1e-6}
    y_BO = projected(x_BD, weight_OD, residual_BO=residual_BO, **norm)
    assert_close(y_BO, projected_reference(x_BD, weight_OD, residual_BO=residual_BO, **norm), within=within)
    for activation in ACTIVATIONS:
        if activation == "swiglu" and outputs % 2:
            continue
        h_BF = gated(x_BD, weight_OD, activation=activation, **norm)
        assert_close(h_BF, gated_reference(x_BD, weight_OD, activation=activation, **norm), within=2 * within)


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [1, 8])
def test_a_fused_projection_is_replayed_in_a_graph(assert_close: CloseCheck, batch: int) -> None:
    x_BD = torch.randn(batch, 2048, device="cuda", dtype=torch.bfloat16)
    weight_OD = matrix(2048, 2048, dtype=torch.bfloat16).cuda()
    projected(x_BD, weight_OD, residual_BO=x_BD)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = projected(x_BD, weight_OD, residual_BO=x_BD)
    x_BD.normal_()
    graph.replay()
    assert_close(replayed, projected_reference(x_BD, weight_OD, residual_BO=x_BD), within=1e-2)
