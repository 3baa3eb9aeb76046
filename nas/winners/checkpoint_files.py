"""Checkpoints as folders: whole or not there, checked against their hashes, the oldest removed.

    step-N/                  a model's folder (`model_folder.py`): its weights are the average where one is kept
        training/state.json  step, counters, losses not yet logged, and length and hash of every file
        training/*.safetensors   moments of the optimizer, and the weights themselves where the model's are an average
    step-N.partial           being written, or left by a kill
    step-N.damaged           set aside: not what was written

What the tensors are is `checkpoints.py`. Nothing here is unpickled, and nothing here needs torch.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nas.durable import to_disk

TRAINING: Final = "training"
STATE_FILE: Final = "state.json"
STATE_VERSION: Final = 1
PARTIAL: Final = ".partial"
DAMAGED: Final = ".damaged"
_REMOVED: Final = ".removed"


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step-{step}"


def partial_folder(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies while it is written."""
    return folder / f"step-{step}{PARTIAL}"


def begin_checkpoint(folder: Path, step: int) -> None:
    """Make an empty folder to write the checkpoint of a step into."""
    partial = partial_folder(folder, step)
    if partial.exists():
        shutil.rmtree(partial)
    (partial / TRAINING).mkdir(parents=True)


def write_state(partial: Path, state: Mapping[str, Any]) -> None:
    """Write the state with the hashes of every file that is there, and with its own."""
    files = {path.relative_to(partial).as_posix(): _description(path) for path in _files(partial)}
    content = {"schema_version": STATE_VERSION, **state, "files": files}
    path = partial / TRAINING / STATE_FILE
    path.write_text(json.dumps({**content, "sha256": _content_hash(content)}, indent=1) + "\n", encoding="utf-8")


def finish_checkpoint(folder: Path, step: int) -> None:
    """Give a written checkpoint its name, once all of it is on the disk."""
    partial, final = partial_folder(folder, step), checkpoint_folder(folder, step)
    for path in (*_files(partial), partial / TRAINING, partial):
        to_disk(path)
    partial.rename(final)
    to_disk(folder)


def remove_partial(folder: Path) -> list[str]:
    """Remove what kills left half written or half removed; return the names of those."""
    names = []
    for path in sorted(folder.glob("step-*")):
        if path.name.endswith((PARTIAL, _REMOVED)):
            shutil.rmtree(path)
            names.append(path.name)
    return names


def remove_checkpoint(folder: Path, step: int) -> None:
    """Remove a checkpoint; a kill meanwhile leaves none that looks whole."""
    path = checkpoint_folder(folder, step)
    removed = path.with_name(path.name + _REMOVED)
    path.rename(removed)
    shutil.rmtree(removed)


def set_aside(folder: Path, step: int) -> Path:
    """Rename a damaged checkpoint, so that its step can be written again; return its new place."""
    path = checkpoint_folder(folder, step)
    aside = path.with_name(path.name + DAMAGED)
    if aside.exists():
        shutil.rmtree(aside)
    return path.rename(aside)


def has_damaged(folder: Path) -> bool:
    """Whether a checkpoint was set aside here."""
    return any(folder.glob(f"step-*{DAMAGED}"))


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints that have their names, in order."""
    numbers = (path.name.removeprefix("step-") for path in folder.glob("step-*"))
    return sorted(int(number) for number in numbers if number.isdigit())


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint's folder.

    Raises:
        ValueError: it cannot be read, is not what was written, or another version wrote it.
    """
    file = path / TRAINING / STATE_FILE
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = content["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{TRAINING}/{STATE_FILE} cannot be read: {error!r}") from error
    if version != STATE_VERSION:
        raise ValueError(f"its state has schema_version {version!r}; this version of HybridNAS reads {STATE_VERSION}")
    if content.pop("sha256", None) != _content_hash(content):
        raise ValueError(f"{TRAINING}/{STATE_FILE} is not what was written: its hash differs")
    return content


def damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint, or none: every file must be there with its length and hash."""
    try:
        state = read_state(path)
    except ValueError as error:
        return str(error)
    for name, expected in state["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        size = file.stat().st_size
        if size != expected["bytes"]:
            return f"{name} has {size} bytes, it had {expected['bytes']}"
        if _description(file) != expected:
            return f"{name} is not what was written: its hash differs"
    return None


def _files(path: Path) -> Iterator[Path]:
    yield from sorted(file for file in path.rglob("*") if file.is_file())


def _description(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _content_hash(content: Mapping[str, Any]) -> str:
    # Of what JSON gives back, which has lists for tuples.
    canonical = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
