"""Begin a training, or go on with one: its folder is opened, its processes are started.

What each process does is `training.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from nas.winners.checkpoint_files import checkpoint_steps
from nas.winners.launching.launch import Executor, launch
from nas.winners.launching.link import Link
from nas.winners.parallel.joining import is_launched
from nas.winners.parallel.protocol import Parallel
from nas.winners.progress import Message, Sending, TrainingObserver
from nas.winners.recipe import check_same_training
from nas.winners.stages import Plan, check_goes_on
from nas.winners.tracking.trackers import check_installed
from nas.winners.training import TrainingEnd, TrainingRequest, run_training
from nas.winners.training_directory import TrainingDirectory, check_same_architecture


def train(
    request: TrainingRequest, *, observer: TrainingObserver, executor: Executor = "processes", address: str = "local"
) -> TrainingEnd:
    """Train to the end, by as many processes as the recipe says; main thread only.

    Under torchrun every process calls this.

    Args:
        request: what is trained, how and where to.
        observer: is told how it goes, in this process.
        executor: `processes` of this machine, or `ray`.
        address: of the Ray cluster: `local`, `auto` or `HOST:PORT`.

    Raises:
        KeyboardInterrupt: it was interrupted; a checkpoint was written, if a step was done.
        RunDirectoryError: the folder holds something, or another process writes it.
        ConfigError: another recipe than the one that is continued.
        NasError: as `run_training` and `launch`.
    """
    with opened(request) if is_first() else nullcontext():
        return launch(
            # Other machines have another working directory.
            Training(replace(request, output=request.output.absolute())),
            config=request.recipe.parallel,
            device=request.recipe.device,
            dtype=request.recipe.dtype,
            folder=request.output,
            on_message=lambda message: _pass_on(message, observer),
            say=observer.notice,
            executor=executor,
            address=address,
            num_cpus=request.recipe.num_threads,
        )


def is_first() -> bool:
    """Whether this process, of those that torchrun started, writes and prints what is written and printed once."""
    return not is_launched() or os.environ["RANK"] == "0"


@dataclass(frozen=True, slots=True)
class Training:
    """What every process does; picklable."""

    request: TrainingRequest

    def __call__(self, parallel: Parallel, *, link: Link) -> TrainingEnd:
        """Train this process's share."""
        return run_training(
            self.request, parallel=parallel, observer=Sending(link.send), is_interrupted=link.should_stop
        )


def _pass_on(message: Any, observer: TrainingObserver) -> None:
    assert isinstance(message, Message)
    message.tell(observer)


@contextmanager
def opened(request: TrainingRequest) -> Iterator[None]:
    """Make the folder, or check that what was begun there is the same; keep other writers out meanwhile.

    Where it ends before the first checkpoint and the first line of the log, the folder is empty again.

    Raises:
        RunDirectoryError: the folder holds something, or another process writes it.
        ConfigError: another recipe than the one that is continued.
        CheckpointError: another architecture.
        UnavailableError: the package of a tracker is missing.
    """
    check_installed(request.recipe.tracking)
    directory = TrainingDirectory(request.output)
    is_continued = request.resume and directory.is_begun
    if not is_continued:
        directory.create()
    with directory.lock:
        if is_continued:
            before = directory.read_recipe()
            check_same_training(before, request.recipe)
            check_same_architecture(directory.read_architecture(), request.architecture, where=directory.path)
            steps = checkpoint_steps(directory.checkpoints)
            check_goes_on(Plan(before), Plan(request.recipe), steps_done=steps[-1] if steps else 0)
        else:
            directory.write_architecture(request.architecture, provenance=dict(request.provenance))
        try:
            directory.checkpoints.mkdir(exist_ok=True)
            directory.write_recipe(request.recipe)
            yield
        except BaseException:
            if not directory.has_anything:
                directory.clear()
            raise
