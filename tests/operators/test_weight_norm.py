from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from operators.model import HybridLM
from operators.registry import build_operator
from operators.weight_norm import WeightNormalization, normalize_, normalized_matrices
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.errors import SpecError
from search_spaces.references import load_reference
from search_spaces.specs import OperatorSpec

CloseCheck = Callable[..., None]
BACKENDS = ["triton", "reference"]


def architecture(pattern: str = "d f m2 m1 a hh gd f", *, tied: bool = True) -> Architecture:
    return architecture_from_pattern(
        pattern,
        hidden_size=32,
        vocab_size=50,
        num_meta_tokens=2,
        tie_embeddings=tied,
        dimensions=Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=8),
    )


def lengths(weight: Tensor, *, part: str) -> Tensor:
    return weight.detach().double().norm(dim=1 if part == "row" else 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tied", [True, False])
def test_declared_rows_and_columns_get_length_one_and_nothing_else_moves(backend: str, tied: bool) -> None:
    model = HybridLM(architecture(tied=tied), seed=0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    normalization = WeightNormalization(model, backend=backend)
    normalization.apply_()
    for matrix in normalization.matrices:
        assert (lengths(matrix.weight, part=matrix.part) - 1).abs().max() < 1e-6
    touched = {id(matrix.weight) for matrix in normalization.matrices}
    assert id(model.embedding) in touched
    assert (model.head is None) == tied
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) not in touched), name


def test_every_operator_declares_each_of_its_matrices_once(spec: OperatorSpec, hidden_size: int) -> None:
    operator = build_operator(spec, hidden_size=hidden_size, norm_eps=1e-6)
    groups = (operator.reads_residual(), operator.writes_residual(), operator.inner_matrices())
    declared = [id(weight) for group in groups for weight in group]
    assert len(declared) == len(set(declared))
    assert set(declared) == {id(weight) for weight in operator.parameters() if weight.ndim >= 2}
    assert all(weight.shape[1] == hidden_size for weight in groups[0])
    assert all(weight.shape[0] == hidden_size for weight in groups[1])


def test_a_forgotten_matrix_is_an_error_that_names_it() -> None:
    model = HybridLM(architecture(), seed=0)
    operator: Any = model.residual_operators[0].operator
    operator.forgotten = nn.Linear(32, 7)
    with pytest.raises(SpecError, match=r"DeltaNet must declare every matrix.*forgotten\.weight of shape \(7, 32\)"):
        WeightNormalization(model)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 7), (67, 259), (70, 65)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_pass_is_the_plain_one(assert_close: CloseCheck, shape: tuple[int, int], dtype: torch.dtype) -> None:
    model = HybridLM(architecture("f"), seed=0).to(dtype)
    weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype))
    expected = {part: weight.detach().clone() for part in ("row", "column")}
    normalize_(expected["row"], part="row")
    normalize_(expected["column"], part="column")
    fused = WeightNormalization(model, backend="triton")
    for part, value in expected.items():
        copy = nn.Parameter(weight.detach().clone())
        fused.matrices = tuple(
            type(matrix)(weight=copy, part=part)
            for matrix in fused.matrices[:1]  # type: ignore[arg-type]  # a literal
        )
        fused.apply_()
        assert_close(copy.detach().float(), value.float(), within=1e-6 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_zeros_stay(backend: str) -> None:
    model = HybridLM(architecture("f"), seed=0)
    with torch.no_grad():
        model.embedding[7] = 0
    WeightNormalization(model, backend=backend).apply_()
    assert (model.embedding[7] == 0).all()
    assert model.embedding.isfinite().all()


def test_matrices_that_moved_are_found_again() -> None:
    model = HybridLM(architecture("d f"), seed=0)
    normalization = WeightNormalization(model, backend="triton")
    normalization.apply_()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data = 3 * parameter.data.clone()
    normalization.apply_()
    for matrix in normalization.matrices:
        assert (lengths(matrix.weight, part=matrix.part) - 1).abs().max() < 1e-6


def test_normalising_twice_changes_nothing_more(assert_close: CloseCheck) -> None:
    model = HybridLM(architecture(), seed=0)
    normalization = WeightNormalization(model)
    normalization.apply_()
    once = [matrix.weight.detach().clone() for matrix in normalization.matrices]
    normalization.apply_()
    for matrix, value in zip(normalization.matrices, once, strict=True):
        assert_close(matrix.weight.detach(), value, within=1e-6)


def test_a_published_model_is_normalised_in_all_its_projections() -> None:
    with torch.device("meta"):
        model = HybridLM(load_reference("nemotron-flash-1b"), seed=0)
    matrices = normalized_matrices(model)
    # Two for each of 24 operators, and the tied embedding.
    assert len(matrices) == 49
    share = sum(matrix.weight.numel() for matrix in matrices) / sum(weight.numel() for weight in model.parameters())
    assert share > 0.998


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_pass_is_the_plain_one_on_a_gpu(assert_close: CloseCheck, dtype: torch.dtype) -> None:
    architecture = architecture_from_pattern("d f m2 f a f", hidden_size=2048, vocab_size=32000)
    with torch.device("cuda"):
        fused, plain = (HybridLM(architecture, seed=0).to(dtype) for _ in range(2))
    WeightNormalization(fused).apply_()
    WeightNormalization(plain, backend="reference").apply_()
    for mine, other in zip(fused.parameters(), plain.parameters(), strict=True):
        if mine.numel():
            assert_close(mine.detach().float(), other.detach().float(), within=1e-6 if dtype == torch.float32 else 1e-2)
