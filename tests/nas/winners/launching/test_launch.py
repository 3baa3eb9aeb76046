"""How processes of a training start and end: on this machine, under torchrun, on a Ray cluster. All of them real."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from nas.errors import ResourceError, UsageError
from nas.winners.launching.launch import launch
from nas.winners.launching.link import Link
from nas.winners.parallel.config import ParallelConfig
from nas.winners.parallel.protocol import Parallel
from nas.winners.progress import Sending
from nas.winners.start import opened, train
from nas.winners.training import TrainingEnd, TrainingRequest, run_training
from proxies.errors import LostProcessError

# Ray Data, which Ray Train loads, sets options of its own that it has deprecated.
ON_RAY = pytest.mark.filterwarnings("ignore:`use_.*is deprecated:DeprecationWarning")

TWO_SHARDED = "parallel={processes: 2, strategy: fsdp}"


@dataclass(frozen=True)
class Waits:
    """A part that waits to be stopped, and then returns or is killed."""

    is_killed: bool = False

    def __call__(self, parallel: Parallel, *, link: Link) -> None:
        link.send(f"process {parallel.rank} of {parallel.count}")
        give_up = time.monotonic() + 100
        while not parallel.any_(link.should_stop()):
            assert time.monotonic() < give_up
            time.sleep(0.05)
        if self.is_killed and parallel.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        parallel.barrier()


def launched(part: Any, folder: Path, **options: Any) -> None:
    options = {"config": ParallelConfig(), "on_message": lambda _: None, "say": lambda _: None} | options
    launch(part, device="cpu", dtype="float32", folder=folder, **options)


def test_one_process_stops_when_interrupted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        launched(Waits(), tmp_path, on_message=lambda _: os.kill(os.getpid(), signal.SIGINT))


def test_an_interrupt_reaches_every_process_and_a_killed_one_ends_all_with_one_message(tmp_path):
    heard: list[str] = []
    others = set(psutil.Process().children())

    def hear(message: str) -> None:
        heard.append(message)
        if len(heard) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(LostProcessError, match=r"process 1 was ended by SIGKILL.*continue with --resume"):
        launched(Waits(is_killed=True), tmp_path, config=ParallelConfig(processes=2), on_message=hear)
    assert sorted(heard) == ["process 0 of 2", "process 1 of 2"]
    assert not set(psutil.Process().children()) - others


def test_torchrun_and_ray_exclude_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun starts the processes or Ray"):
        launched(Waits(), tmp_path, executor="ray")


def test_under_torchrun_the_first_process_speaks_for_all(small, tmp_path):
    small.train("one")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(small.recipe(TWO_SHARDED).resolved().to_yaml())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = ["-m", "nas.cli.main", "train", small.architecture.pattern, "--hidden-size=64", f"--recipe={recipe}"]
    process = subprocess.Popen(
        [*torchrun, *command, "-o", str(tmp_path / "two"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        out, said = process.communicate(timeout=200)
    finally:
        # Not killed: it ends the processes that it started.
        process.terminate()
        process.wait()
    assert process.returncode == 0, said
    assert json.loads(out)["status"] == "finished"
    assert said.count("training 20 steps") == 1
    assert_same_losses(small.log("two"), small.log("one"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # Ray keeps a token under the home directory otherwise, which later commands would have to know.
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32,
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024**2)
    yield
    ray.shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@dataclass(frozen=True)
class Mortal:
    """A training whose second process is killed once it has been seen to pass a step."""

    request: TrainingRequest
    steps: tuple[int, ...]

    def __call__(self, parallel: Parallel, *, link: Link) -> TrainingEnd:
        def is_interrupted() -> bool:
            lines = (self.request.output / "log.jsonl").read_text().splitlines()
            for step in self.steps:
                marker = self.request.output / f"killed-at-{step}"
                if parallel.rank == 1 and len(lines) > step and not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return link.should_stop()

        return run_training(self.request, parallel=parallel, observer=Sending(link.send), is_interrupted=is_interrupted)


@ON_RAY
def test_on_ray_a_training_that_loses_workers_begins_anew_and_has_the_losses_of_one(cluster, small):
    settings = ("weight_normalization=true", "stages=[{tokens: 1920, sequence_tokens: 32}]")
    small.train("one", *settings)
    recipe = small.recipe(*settings, "parallel={processes: 2, strategy: fsdp, restarts: 1}")
    request = TrainingRequest(
        architecture=small.architecture, recipe=recipe.resolved(), output=small.folder / "two", resume=True
    )
    said: list[str] = []
    options = {"config": request.recipe.parallel, "executor": "ray", "address": "auto"}
    with opened(request), pytest.raises(LostProcessError) as caught:
        launched(Mortal(request, steps=(7, 22)), request.output, say=said.append, **options)
    assert "more often than the 1 times of parallel.restarts; the last time: worker" in str(caught.value)
    assert "continue with --resume" in str(caught.value)
    assert len([words for words in said if "restart 1 of at most 1" in words]) == 1
    assert not [path.name for path in request.output.iterdir() if path.name.startswith(("ray", "stop"))]
    assert small.checkpoints("two") == ["step-15", "step-20"]
    assert small.train("two", *settings, resume=True).step == 30
    assert_same_losses(small.log("two"), small.log("one"))


@ON_RAY
def test_an_interrupt_reaches_workers_on_ray(cluster, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        launched(
            Waits(), tmp_path, executor="ray", address="auto", on_message=lambda _: os.kill(os.getpid(), signal.SIGINT)
        )
    assert not list(tmp_path.iterdir())


@ON_RAY
def test_an_error_of_the_training_itself_is_not_tried_again_on_ray(cluster, tmp_path):
    part = Raises(tmp_path / "attempts")
    with pytest.raises(ValueError, match="of its own"):
        launched(part, tmp_path, executor="ray", address="auto")
    assert part.attempts.read_text() == "one\n"


@dataclass(frozen=True)
class Raises:
    """A part with an error in it."""

    attempts: Path

    def __call__(self, parallel: Parallel, *, link: Link) -> None:
        with self.attempts.open("a") as file:
            file.write("one\n")
        raise ValueError("of its own")


def test_a_cluster_that_is_too_small_is_an_error_at_once(cluster, tmp_path):
    with pytest.raises(ResourceError, match="hold 2 of 3, each with CPU=1"):
        launched(Waits(), tmp_path, config=ParallelConfig(processes=3), executor="ray", address="auto")


def assert_same_losses(found: list[dict[str, Any]], expected: list[dict[str, Any]], *, within: float = 1e-4) -> None:
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for name in ("loss", "validation_loss"):
        losses = [line[name] for line in expected if name in line]
        assert [line[name] for line in found if name in line] == pytest.approx(losses, abs=within)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_gpus_have_the_losses_of_one(small, notices, strategy):
    settings = ("device=cuda", "dtype=float32", "weight_normalization=true")
    for name, count in (("one", 1), ("two", 2)):
        recipe = small.recipe(*settings, f"parallel={{processes: {count}, strategy: {strategy}}}")
        request = TrainingRequest(architecture=small.architecture, recipe=recipe.resolved(), output=small.folder / name)
        train(request, observer=notices())
    assert_same_losses(small.log("two"), small.log("one"), within=1e-3)
