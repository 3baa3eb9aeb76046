"""Two processes train as one does: the same losses, whatever each of them holds of the model.

One pair of processes runs every setting, one after the other.
"""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from nas.winners.parallel.config import ParallelConfig
from nas.winners.parallel.joining import parallel_of
from nas.winners.recipe import Recipe, read_recipe
from nas.winners.start import opened
from nas.winners.training import TrainingRequest, run_training
from nas.winners.weights import load_model
from proxies.distributed import loopback
from proxies.processes import run_together
from proxies.ranks import ALONE, Ranks, join
from proxies.sharded_muon import ShardedMuon
from search_spaces import Architecture, Dimensions, architecture_from_pattern

pytestmark = pytest.mark.usefixtures("leaves_no_process")

CPU = torch.device("cpu")
STEPS = 24
WITHIN = 1e-4

RECIPE = """
name: small
data: {source}
batch_size: 8
num_micro_batches: 2
learning_rate: 3e-3
clip_norm: 0.5
log_every: 1
device: cpu
dtype: float32
stages:
  - {{tokens: {tokens}, sequence_tokens: 16}}
validation: {{sequences: 5, every: 12}}
checkpoints: {{every_minutes: null}}
"""

MUON_SHAPES = ((48, 32), (31, 90), (1, 16))

SETTINGS: dict[str, tuple[str, ...]] = {
    "plain": ("weight_decay=0.1",),
    "normalized": ("weight_normalization=true", "ema_decay=0.9", "z_loss=1e-3", "activation_checkpointing=true"),
    "bfloat16": ("dtype=bfloat16", "activation_checkpointing=true"),
}
TOGETHER = {"ddp": ("plain", "normalized"), "fsdp": ("plain", "normalized", "bfloat16"), "copies": ("normalized",)}
PARALLEL = {
    "one": ParallelConfig(),
    "ddp": ParallelConfig(processes=2),
    "fsdp": ParallelConfig(processes=2, strategy="fsdp"),
    "copies": ParallelConfig(processes=2, strategy="fsdp", shards=1),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training of a setting, begun or continued, for some steps or to its end."""

    setting: str
    how: str
    folder: str
    stop_after: int | None = None


RUNS = (
    *(Run(setting=setting, how=how, folder=f"{setting} {how}") for how in TOGETHER for setting in TOGETHER[how]),
    # Begun by one process, continued by two, then by one again.
    Run(setting="normalized", how="fsdp", folder="normalized moved", stop_after=8),
    Run(setting="plain", how="ddp", folder="plain moved", stop_after=8),
)


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Does what is asked of it in one of several processes."""

    folder: Path
    source: str
    muon_differences: dict[object, float] = field(default_factory=dict)
    """Between a sharded and a whole matrix after some steps, by shape."""

    def __call__(self, rank: int, send: Callable[[object], None]) -> None:
        ranks = join(rank=rank, count=2, device=CPU, rendezvous=self.folder / "rendezvous")
        for shape in MUON_SHAPES:
            sharded, whole = muon_update(shape, is_sharded=True), muon_update(shape, is_sharded=False)
            send((shape, float((sharded - whole).abs().max())))
        for run in RUNS:
            self.train(run, ranks)
            send((run.folder, 0.0))

    def train(self, run: Run, ranks: Ranks) -> None:
        recipe = self.recipe(run.setting)
        parallel = parallel_of(ranks, config=PARALLEL[run.how], device=CPU, dtype=recipe.dtype)
        request = TrainingRequest(
            architecture=architecture(), recipe=recipe, output=self.folder / run.folder, resume=True
        )
        asked = iter(range(1, 1000))
        with opened(request) if parallel.is_first else nullcontext():
            run_training(request, parallel=parallel, is_interrupted=lambda: next(asked) == run.stop_after)

    def recipe(self, setting: str) -> Recipe:
        text = RECIPE.format(source=self.source, tokens=STEPS * 8 * 16)
        return read_recipe(text, where="test", overrides=SETTINGS[setting]).resolved()

    def log(self, folder: str) -> list[dict[str, float]]:
        return [json.loads(line) for line in (self.folder / folder / "log.jsonl").read_text().splitlines()]


def architecture() -> Architecture:
    return architecture_from_pattern(
        "d f m2 a",
        hidden_size=32,
        vocab_size=257,
        num_meta_tokens=3,
        dimensions=Dimensions(head_dim=16, mamba_head_dim=16, mamba_state_size=8),
    )


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, str]) -> Trainings:
    made = Trainings(folder=tmp_path_factory.mktemp("trainings"), source=sources["first"])
    torch.set_num_threads(1)
    for setting in SETTINGS:
        made.train(Run(setting=setting, how="one", folder=f"{setting} one"), ALONE)
    for setting in ("normalized", "plain"):
        made.train(Run(setting=setting, how="one", folder=f"{setting} moved", stop_after=8), ALONE)
    done: list[tuple[object, float]] = []
    run_together(
        made,
        count=2,
        on_message=lambda rank, message: done.append(message) if rank == 0 else None,
        decides=lambda _: False,
        environment=loopback(CPU),
    )
    assert [name for name, _ in done] == [*MUON_SHAPES, *(run.folder for run in RUNS)]
    made.muon_differences.update(done[: len(MUON_SHAPES)])
    for setting in ("normalized", "plain"):
        assert len(made.log(f"{setting} moved")) < len(made.log(f"{setting} one"))
        made.train(Run(setting=setting, how="one", folder=f"{setting} moved"), ALONE)
    return made


def muon_update(shape: tuple[int, int], *, is_sharded: bool) -> torch.Tensor:
    """Return a matrix after two steps of Muon."""
    mesh = init_device_mesh("cpu", (2,))
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(shape, generator=generator) for _ in range(3)]
    start, *gradients = [distribute_tensor(each, mesh, [Shard(0)]) for each in draws] if is_sharded else draws
    weight = nn.Parameter(start)
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    if is_sharded:
        muon: Any = ShardedMuon([weight], **settings)
    else:
        muon = torch.optim.Muon([weight], **settings, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        weight.grad = gradient
        muon.step()
    return weight.detach().full_tensor() if isinstance(weight, DTensor) else weight.detach()


def assert_same_log(found: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(found) == len(expected) > STEPS >= 20
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in {"loss", "validation_loss", "bits_per_byte"} & one.keys():
            assert one[name] == pytest.approx(other[name], abs=WITHIN), (name, one["step"])
        for name in {"gradient_norm", "weight_norm"} & one.keys():
            # Of a gradient that is steep in places.
            assert one[name] == pytest.approx(other[name], rel=100 * WITHIN), (name, one["step"])
        assert one["step"] == other["step"]
        assert one["tokens"] == other["tokens"]


@pytest.mark.parametrize(
    ("how", "setting"), [(how, setting) for how in TOGETHER for setting in TOGETHER[how] if setting != "bfloat16"]
)
def test_two_processes_have_the_losses_of_one(trainings: Trainings, how: str, setting: str) -> None:
    assert_same_log(trainings.log(f"{setting} {how}"), trainings.log(f"{setting} one"))


def test_projections_that_travel_in_bfloat16_are_what_autocast_makes_of_them(trainings: Trainings) -> None:
    found, expected = trainings.log("bfloat16 fsdp"), trainings.log("bfloat16 one")
    assert found[0]["loss"] == pytest.approx(expected[0]["loss"], abs=1e-6)
    # Gradients of half a batch are rounded, not those of the whole.
    for one, other in zip(found, expected, strict=True):
        assert "loss" not in one or one["loss"] == pytest.approx(other["loss"], abs=0.02)


@pytest.mark.parametrize("shape", MUON_SHAPES)
def test_muon_updates_a_sharded_matrix_as_a_whole_one(trainings: Trainings, shape: tuple[int, int]) -> None:
    assert trainings.muon_differences[shape] < 1e-6


@pytest.mark.parametrize("setting", ["normalized", "plain"])
def test_a_training_goes_on_with_another_number_of_processes(trainings: Trainings, setting: str) -> None:
    assert_same_log(trainings.log(f"{setting} moved"), trainings.log(f"{setting} one"))


@pytest.mark.parametrize("how", ["ddp", "fsdp", "copies"])
def test_a_checkpoint_of_several_processes_is_a_whole_model(trainings: Trainings, how: str) -> None:
    expected, _ = load_model(trainings.folder / "normalized one")
    found, described = load_model(trainings.folder / f"normalized {how}")
    assert described.architecture == architecture()
    for name, weight in expected.state_dict().items():
        assert torch.allclose(found.state_dict()[name], weight, atol=1e-3), name
