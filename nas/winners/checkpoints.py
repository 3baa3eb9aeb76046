"""Tensors of a training to a checkpoint and back: written beside the training, read by any number of processes.

Torch's distributed checkpoint writes them through its safetensors storage; its own format would be read with pickle.
One thread writes weights, moments and state one after the other, so that a checkpoint is named only when all of it is
there. What lies where is `checkpoint_files.py`.
"""

import errno
import shutil
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter

from nas.errors import CheckpointError
from nas.winners.checkpoint_files import (
    TRAINING,
    begin_checkpoint,
    checkpoint_steps,
    finish_checkpoint,
    partial_folder,
    remove_checkpoint,
    write_state,
)
from nas.winners.errors import TrainingError
from nas.winners.model_folder import write_model_json
from nas.winners.parallel.protocol import Parallel
from proxies.tokenizers import Tokenizer
from search_spaces import Architecture

_SHARDED: Final = "sharded"
"""Where torch puts the pieces of weights before it puts them together."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """What a checkpoint holds."""

    step: int
    weights: Mapping[str, Tensor]
    """Of the model that is evaluated and exported, by the names of its modules."""

    training: Mapping[str, Tensor]
    """What else the training needs."""

    state: Mapping[str, Any]
    """What is no tensor, JSON-ready."""

    provenance: Mapping[str, Any]


class Checkpoints:
    """Writes checkpoints of one training, one at a time, beside it."""

    def __init__(
        self, folder: Path, *, architecture: Architecture, tokenizer: Tokenizer, keep: int, parallel: Parallel
    ) -> None:
        self._folder = folder
        self._architecture = architecture
        self._tokenizer = tokenizer
        self._keep = keep
        self._parallel = parallel
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        _expect_no_process_group()

    @property
    def has_failed(self) -> bool:
        """Whether the one being written could not be; `wait` says why."""
        return self._writing is not None and self._writing.done() and self._writing.exception() is not None

    @property
    def newest_step(self) -> int | None:
        """Of the newest one that is whole, if any is."""
        steps = checkpoint_steps(self._folder)
        return steps[-1] if steps else None

    def save(self, snapshot: Snapshot) -> None:
        """Copy everything to the CPU and return; the rest happens meanwhile. Waits for the one before.

        Raises:
            TrainingError: the one before could not be written.
        """
        self.wait()
        copied = Snapshot(
            step=snapshot.step,
            weights=_copies(snapshot.weights),
            training=_copies(snapshot.training),
            state=snapshot.state,
            provenance=snapshot.provenance,
        )
        self._writing = self._thread.submit(self._write, copied)

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises:
            TrainingError: it could not be; the one before is as it was.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """End the thread, after what it writes."""
        self._thread.shutdown(wait=True)

    def _write(self, snapshot: Snapshot) -> None:
        partial = partial_folder(self._folder, snapshot.step)
        try:
            self._by_the_first(lambda: begin_checkpoint(self._folder, snapshot.step))
            self._write_tensors(partial, snapshot)
            self._by_the_first(lambda: self._finish(partial, snapshot))
        except (OSError, CheckpointException, RuntimeError) as error:
            if self._parallel.is_first:
                shutil.rmtree(partial, ignore_errors=True)
            raise self._failure(snapshot.step, error) from error

    def _write_tensors(self, partial: Path, snapshot: Snapshot) -> None:
        group = self._parallel.group
        is_alone = self._parallel.count == 1
        for place, tensors in ((partial, snapshot.weights), (partial / TRAINING, snapshot.training)):
            if not tensors:
                continue
            if is_alone:
                writer = HuggingFaceStorageWriter(str(place))
            else:
                writer = HuggingFaceStorageWriter(
                    str(place), save_distributed=True, enable_consolidation=place == partial
                )
            state_dict_saver.save(dict(tensors), storage_writer=writer, process_group=group, no_dist=is_alone)

    def _finish(self, partial: Path, snapshot: Snapshot) -> None:
        shutil.rmtree(partial / _SHARDED, ignore_errors=True)
        write_model_json(partial, self._architecture, tokenizer=self._tokenizer, provenance=dict(snapshot.provenance))
        # Last, for it has the hashes of all others.
        write_state(partial, snapshot.state)
        finish_checkpoint(self._folder, snapshot.step)
        for step in checkpoint_steps(self._folder)[: -self._keep]:
            remove_checkpoint(self._folder, step)

    def _by_the_first(self, do: Callable[[], object]) -> None:
        """Have the first process do something while the others wait; where it fails, it fails in all."""
        failure: Exception | None = None
        if self._parallel.is_first:
            try:
                do()
            except Exception as error:
                # Raised below, once the others know.
                failure = error
        has_failed = torch.tensor(float(failure is not None))
        if self._parallel.group is not None:
            dist.all_reduce(has_failed, group=self._parallel.group)
        if failure is not None:
            raise failure
        if has_failed:
            raise RuntimeError("the first process could not write its part")

    def _failure(self, step: int, error: BaseException) -> TrainingError:
        cause = _system_error(error)
        whole = [each for each in checkpoint_steps(self._folder) if each != step]
        left = f"Of those before, step-{whole[-1]} is whole" if whole else "There is none before it"
        if cause is None:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            return TrainingError(f"The checkpoint of step {step} could not be written: {first}. {left}.")
        remedy = (
            "Free space, or lower checkpoints.keep; then continue with --resume"
            if cause.errno in _FULL
            else "Mend it, then continue with --resume"
        )
        return TrainingError(
            f"The checkpoint of step {step} could not be written to {self._folder}: {cause.strerror or cause}. "
            f"{left}. {remedy}."
        )


def load_tensors(path: Path, tensors: Mapping[str, Tensor], *, parallel: Parallel) -> None:
    """Read tensors by name from a folder of safetensors into these, each process what it holds of them.

    Raises:
        CheckpointError: one is missing or of another shape.
    """
    if not tensors:
        return
    _expect_no_process_group()
    try:
        with torch.no_grad():
            state_dict_loader.load(
                dict(tensors), storage_reader=HuggingFaceStorageReader(str(path)), no_dist=parallel.count == 1
            )
    except (CheckpointException, RuntimeError, ValueError, OSError, AssertionError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"The tensors in {path} are not those of this training: {first}.") from error


def tensor_names(path: Path) -> list[str]:
    """Return the names of the tensors in a folder of safetensors."""
    from safetensors import safe_open

    names: set[str] = set()
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            names.update(opened.keys())
    return sorted(names)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def _system_error(error: BaseException) -> OSError | None:
    """Return what the system said, wherever torch has packed it."""
    if isinstance(error, OSError):
        return error
    if isinstance(error, CheckpointException):
        for failure in error.failures.values():
            found = _system_error(failure[0])
            if found is not None:
                return found
    for inner in (error.__cause__, error.__context__):
        if inner is not None:
            return _system_error(inner)
    return None


def _expect_no_process_group() -> None:
    # One process alone is what is meant, and torch warns of it at every checkpoint.
    warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
