import copy
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from operators.model import HybridLM
from operators.sharded_weight_norm import ShardedWeightNormalization
from operators.weight_norm import WeightNormalization
from proxies.distributed import loopback
from proxies.processes import run_together
from proxies.ranks import join
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.errors import SpecError

COUNT = 3
pytestmark = pytest.mark.usefixtures("leaves_no_process")

CPU = torch.device("cpu")


def model(*, width: int, tied: bool) -> HybridLM:
    architecture = architecture_from_pattern(
        "d f m2 m1 a hh gd",
        hidden_size=width,
        vocab_size=51,
        num_meta_tokens=2,
        tie_embeddings=tied,
        dimensions=Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=8),
    )
    made = HybridLM(architecture, seed=1)
    with torch.no_grad():
        made.embedding[7] = 0
        made.residual_operators[1].operator.writes_residual()[0][:, 2] = 0
    return made


def sharded(whole: HybridLM, *, mesh: Any) -> HybridLM:
    parts = copy.deepcopy(whole)
    for layer in parts.residual_operators:
        fully_shard(layer, mesh=mesh)
    fully_shard(parts, mesh=mesh)
    return parts


def largest_difference(whole: HybridLM, parts: HybridLM) -> float:
    differences = []
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert isinstance(other, DTensor)
        gathered: Tensor = other.detach().full_tensor()
        if one.numel():
            differences.append(float((one - gathered).abs().max()))
    return max(differences)


def compare(rank: int, send: Any, *, rendezvous: Path) -> dict[str, Any]:
    """Normalise sharded and whole models, in one of several processes."""
    torch.set_num_threads(1)
    join(rank=rank, count=COUNT, device=CPU, rendezvous=rendezvous)
    line = init_device_mesh("cpu", (COUNT,))
    found: dict[str, Any] = {}
    for name, width, tied in (("even", 48, True), ("uneven", 32, False), ("empty", 16, True)):
        whole = model(width=width, tied=tied)
        parts = sharded(whole, mesh=line)
        found[f"{name} before"] = largest_difference(whole, parts)
        found[f"{name} rows"] = {len(matrix.to_local()) for matrix in parts.parameters() if isinstance(matrix, DTensor)}
        normalization = ShardedWeightNormalization(parts, backend="triton" if name == "empty" else "auto")
        WeightNormalization(whole).apply_()
        normalization.apply_()
        found[name] = largest_difference(whole, parts)
        exchanges = 0
        plain_all_reduce = torch.distributed.all_reduce

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal exchanges
            exchanges += 1
            return plain_all_reduce(*args, **kwargs)  # noqa: B023  called before it is bound anew

        torch.distributed.all_reduce = counted
        normalization.apply_()
        torch.distributed.all_reduce = plain_all_reduce
        found[f"{name} exchanges"] = exchanges
        found[f"{name} twice"] = largest_difference(whole, parts)
    copies = sharded(whole, mesh=init_device_mesh("cpu", (COUNT, 1), mesh_dim_names=("copy", "shard")))
    with torch.no_grad():
        for parameter in copies.parameters():
            parameter.mul_(3)
    ShardedWeightNormalization(copies).apply_()
    matrices = ShardedWeightNormalization(copies).matrices
    found["copies"] = max(
        float((matrix.weight.full_tensor().norm(dim=1 if matrix.part == "row" else 0) - 1).abs().median())
        for matrix in matrices
    )
    return found


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        work = partial(compare, rendezvous=Path(folder) / "rendezvous")
        results = run_together(
            work, count=COUNT, on_message=lambda *_: None, decides=lambda _: False, environment=loopback(CPU)
        )
    first: dict[str, Any] = results[0]
    last: dict[str, Any] = results[-1]
    assert {key: value for key, value in last.items() if "rows" not in key} == {
        key: value for key, value in first.items() if "rows" not in key
    }
    return {**first, "empty rows": last["empty rows"]}


@pytest.mark.parametrize("name", ["even", "uneven", "empty"])
def test_sharded_matrices_are_normalised_as_whole_ones(found: dict[str, Any], name: str) -> None:
    assert found[f"{name} before"] == 0
    assert found[name] <= 1e-6
    assert found[f"{name} twice"] <= 1e-6


def test_some_processes_hold_no_row_of_some_matrices(found: dict[str, Any]) -> None:
    assert 0 in found["empty rows"]


@pytest.mark.parametrize("name", ["even", "uneven", "empty"])
def test_all_columns_of_a_model_take_one_exchange(found: dict[str, Any], name: str) -> None:
    assert found[f"{name} exchanges"] == 1


def test_copies_of_a_sharded_model_are_each_normalised(found: dict[str, Any]) -> None:
    assert found["copies"] <= 1e-6


def test_a_model_that_is_not_sharded_is_refused() -> None:
    with pytest.raises(SpecError, match=r"needs every matrix sharded by rows.*placed on one process"):
        ShardedWeightNormalization(model(width=16, tied=True))
