"""Train by workers of Ray Train, on one node of a cluster or several.

A training that loses a worker begins anew from its last checkpoint, as often as its configuration allows; an error of
its own ends it at once. Checkpoints are the training's own: Ray Train keeps none.
"""

import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeVar

import ray

from nas.errors import ResourceError
from nas.executors.ray_capacity import CandidateResources, ClusterRoom
from nas.executors.ray_connection import connected
from nas.interrupt import Interrupts
from nas.winners.launching.board import Board
from nas.winners.launching.link import Link, TrainingPart
from nas.winners.launching.stopping import STOP_FILE, StopFile, passed_on
from nas.winners.launching.watch import Watch
from nas.winners.parallel.config import ParallelConfig
from proxies.child_process import portable
from proxies.errors import LostProcessError, PeerLostError
from proxies.memory import is_out_of_memory
from proxies.settings import TrainingDtype
from search_spaces import NasError

T = TypeVar("T")

_VARIABLES: Final = {
    "RAY_TRAIN_V2_ENABLED": "1",  # the default from Ray 2.51 on
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths mean the same for every process
}


def launch_on_ray(
    part: TrainingPart[T],
    *,
    config: ParallelConfig,
    device: str,
    dtype: TrainingDtype,
    folder: Path,
    on_message: Callable[[Any], None],
    say: Callable[[str], None],
    address: str,
    num_cpus: int,
    interrupts: Interrupts,
) -> T:
    """Train by `config.processes` workers; see `launch`.

    Raises:
        KeyboardInterrupt: interrupted while no worker was training.
        LostProcessError: workers were lost more often than `config.restarts`.
        ResourceError: the cluster does not answer, or its nodes can never hold all workers.
        NasError: what the training itself raised.
    """
    os.environ.update({name: value for name, value in _VARIABLES.items() if name not in os.environ})
    folder = folder.absolute()
    from ray.train import TrainingFailedError

    with connected(address), passed_on(interrupts, folder / STOP_FILE):
        resources = _resources(device, config=config, num_cpus=num_cpus)
        room = ClusterRoom(resources)
        _check_room(room, resources, config=config)
        board: Any = ray.remote(num_cpus=0)(Board).remote()
        worker = _Worker(part=part, config=config, dtype=dtype, stop_file=folder / STOP_FILE, board=board)
        storage = folder / f"ray-{uuid.uuid4().hex[:8]}"
        trainer = _trainer(worker, resources=resources, storage=storage)
        watch = Watch(board=board, room=room, on_message=on_message, say=say, config=config, interrupts=interrupts)
        fit = _in_thread(trainer.fit)
        try:
            # What it raises leaves Ray Train behind, which ends with the connection.
            watch.until_done(fit)
        finally:
            shutil.rmtree(storage, ignore_errors=True)
        failure: Exception | None = ray.get(board.failure.remote())
        if failure is not None:
            raise failure
        try:
            fit.result()
        except TrainingFailedError as error:
            raise LostProcessError(
                f"A training on {config.processes} workers lost one of them more often than the {config.restarts} "
                f"times of parallel.restarts; the last time: {watch.last_loss or _first_line(error)}. Its checkpoints "
                f"are in {folder}: continue with --resume."
            ) from error
        result: T = ray.get(board.result.remote())
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """What a worker is told; picklable."""

    part: TrainingPart[Any]
    config: ParallelConfig
    dtype: TrainingDtype
    stop_file: Path
    board: Any


def _train(told: dict[str, _Worker]) -> None:
    """Do one worker's part; runs there."""
    from ray.train import get_context
    from ray.train.torch import get_device

    from nas.winners.parallel.joining import joined_group, peers_watched

    worker = told["worker"]
    board = worker.board
    if ray.get(board.failure.remote()) is not None:
        # Ray has begun anew what cannot succeed.
        return
    rank = get_context().get_world_rank()
    try:
        with peers_watched():
            parallel = joined_group(config=worker.config, device=get_device(), dtype=worker.dtype)
            if parallel.is_first:
                ray.get(board.begin.remote())
            link = Link(
                send=lambda message: ray.get(board.put.remote(message)),
                should_stop=StopFile(worker.stop_file).is_there,
            )
            result = worker.part(parallel, link=link)
    except Exception as error:
        if _is_final(error):
            ray.get(board.fail.remote(portable(error, rank=rank)))
        raise
    if rank == 0:
        ray.get(board.finish.remote(result))


def _is_final(error: Exception) -> bool:
    """Whether beginning anew would end the same way."""
    if isinstance(error, NasError):
        return not isinstance(error, PeerLostError)
    # A device or a network that fails shows as these.
    return is_out_of_memory(error) or not isinstance(error, RuntimeError | OSError)


def _in_thread(function: Callable[[], Any]) -> "Future[Any]":
    """Call it in another thread: in this one Ray would take the handling of interrupts over."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=call, name="ray-train", daemon=True).start()
    return future


def _trainer(worker: _Worker, *, resources: CandidateResources, storage: Path) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
    from ray.train.torch import TorchTrainer

    board = worker.board

    class Losses(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            del run_context
            ray.get(board.lose.remote(_cause(worker_exceptions)))

    return TorchTrainer(
        _train,
        train_loop_config={"worker": worker},
        scaling_config=ScalingConfig(
            num_workers=worker.config.processes,
            use_gpu=resources.num_gpus > 0,
            resources_per_worker=resources.asked,
        ),
        run_config=RunConfig(
            name="training",
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=worker.config.restarts),
            callbacks=[Losses()],  # type: ignore[list-item]  # annotated with the older kind
        ),
    )


def _cause(errors: dict[int, Exception]) -> str:
    """Return words of the worker that ended first, or of one that found another gone where only such are known."""
    inner = {rank: getattr(error, "_base_exc", error) for rank, error in errors.items()}
    rank = min(inner, key=lambda each: (isinstance(inner[each], PeerLostError), each))
    if isinstance(inner[rank], PeerLostError):
        return f"worker {rank} could no longer reach the others"
    return f"worker {rank}: {_first_line(inner[rank])}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _resources(device: str, *, config: ParallelConfig, num_cpus: int) -> CandidateResources:
    """Return what one worker holds; `auto` is a GPU each where the cluster has as many."""
    num_gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]  # Ray's
    is_gpu = device.startswith("cuda") or (device == "auto" and num_gpus >= config.processes)
    return CandidateResources(num_cpus=num_cpus, num_gpus=1 if is_gpu else 0, memory_bytes=None)


def _check_room(room: ClusterRoom, resources: CandidateResources, *, config: ParallelConfig) -> None:
    if room.num_fitting < config.processes:
        raise ResourceError(
            f"The Ray cluster must hold all processes of a training at once; its nodes hold {room.num_fitting} of "
            f"{config.processes}, each with {resources.describe()}. Lower parallel.processes, or join a larger cluster."
        )
