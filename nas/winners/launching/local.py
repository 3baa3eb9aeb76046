"""Train by several processes of this machine; all of them end with the first that does."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import torch

from nas.interrupt import Interrupts
from nas.winners.launching.link import Link, TrainingPart
from nas.winners.launching.stopping import STOP_FILE, StopFile, passed_on
from nas.winners.parallel.config import ParallelConfig
from nas.winners.parallel.joining import device_of, joined_by_file
from proxies.distributed import loopback
from proxies.errors import LostProcessError
from proxies.processes import run_together
from proxies.settings import TrainingDtype

T = TypeVar("T")

REMEDY: Final = "Checkpoints are as they were: continue with --resume."


def launch_here(
    part: TrainingPart[T],
    *,
    config: ParallelConfig,
    device: str,
    dtype: TrainingDtype,
    on_message: Callable[[Any], None],
    interrupts: Interrupts,
) -> T:
    """Train by `config.processes` new processes, one a GPU or all on the CPU; see `launch`.

    Raises:
        LostProcessError: a process was killed or crashed.
        UnavailableError: fewer GPUs than processes.
    """
    device_of(device, index=config.processes - 1)
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        folder = Path(name)
        process = _Process(part=part, config=config, device=device, dtype=dtype, folder=folder)
        with passed_on(interrupts, folder / STOP_FILE):
            try:
                results: tuple[T, ...] = run_together(
                    process,
                    count=config.processes,
                    on_message=lambda _, message: on_message(message),
                    decides=lambda _: False,
                    environment=loopback(torch.device("cpu")),
                )
            except LostProcessError as error:
                raise LostProcessError(f"{error} {REMEDY}") from error
    return results[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process(Generic[T]):
    """Picklable."""

    part: TrainingPart[T]
    config: ParallelConfig
    device: str
    dtype: TrainingDtype
    folder: Path

    def __call__(self, rank: int, send: Callable[[Any], None]) -> T:
        joined = joined_by_file(
            self.folder / "rendezvous", rank=rank, config=self.config, device=self.device, dtype=self.dtype
        )
        with joined as parallel:
            link = Link(send=send, should_stop=StopFile(self.folder / STOP_FILE).is_there)
            return self.part(parallel, link=link)
