"""What a folder with a model says: architecture, tokenizer, where it comes from. Without torch.

    model.json           architecture, tokenizer, provenance; written last, so that a folder with one is whole
    model.safetensors    the weights by the names of our modules, see `weights.py`; or numbered parts with an index
    tokenizer.json       the tokenizer's definition, where tokens are not bytes

A checkpoint of a training is such a folder with the state of the training beside it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.errors import CheckpointError
from nas.run_directory import write_atomically
from proxies.json_tokenizer import TOKENIZER_FILE, JsonTokenizer, tokenizer_of
from proxies.tokenizers import BYTES, ByteTokenizer, Tokenizer
from search_spaces import Architecture, NasError

MODEL_FILE: Final = "model.json"
CHECKPOINTS: Final = "checkpoints"
"""Where a training keeps its checkpoints, `step-N` each."""

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelFolder:
    """A model on disk; its weights are read by `weights.load_model`."""

    folder: Path
    architecture: Architecture
    tokenizer: Tokenizer | None
    """None where it is not known, as of weights that were drawn."""

    provenance: Mapping[str, Any]
    """Where the weights come from: `origin` (`training`, `import`, `random`) and what that origin records."""


def read_model_folder(path: Path) -> ModelFolder:
    """Return what a model's folder says, or that of a training's newest checkpoint.

    Raises:
        CheckpointError: there is no such folder, it is not whole, or another version wrote it.
        UnavailableError: the package of its tokenizer is missing.
    """
    folder = newest_checkpoint(path)
    file = folder / MODEL_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"{file} has schema_version {version!r}; this version of HybridNAS reads {SCHEMA_VERSION}. "
                "Read it with the version that wrote it."
            )
        return ModelFolder(
            folder=folder,
            architecture=Architecture.from_dict(content["architecture"]),
            tokenizer=_read_tokenizer(folder, content["tokenizer"]),
            provenance=content["provenance"],
        )
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or file} cannot be read: {error.strerror or error}. Restore it, or use another "
            "checkpoint."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, NasError):
            raise
        raise CheckpointError(
            f"{file} describes no model: {error!r}. Restore it, or use another checkpoint."
        ) from error


def write_model_json(
    folder: Path, architecture: Architecture, *, tokenizer: Tokenizer | None, provenance: Mapping[str, Any]
) -> None:
    """Write everything but the weights into a folder that holds them; what makes the folder whole comes last."""
    if isinstance(tokenizer, JsonTokenizer):
        write_atomically(folder / TOKENIZER_FILE, tokenizer.definition)
    content = {
        "schema_version": SCHEMA_VERSION,
        "architecture": architecture.to_dict(),
        "tokenizer": None if tokenizer is None else tokenizer.to_dict(),
        "provenance": dict(provenance),
    }
    write_atomically(folder / MODEL_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def newest_checkpoint(path: Path) -> Path:
    """Return the folder itself where it holds a model, else the newest whole checkpoint of the training in it.

    Raises:
        CheckpointError: neither.
    """
    if (path / MODEL_FILE).is_file():
        return path
    whole = sorted(_checkpoints(path))
    if whole:
        return whole[-1][1]
    raise CheckpointError(
        f"A checkpoint is a folder with a {MODEL_FILE}, or a training's with {CHECKPOINTS}/step-N; {path} is neither. "
        "Make one with: nas train, or nas import"
    )


def _checkpoints(path: Path) -> list[tuple[int, Path]]:
    """Return the whole checkpoints of a training by their step."""
    numbered = (
        (folder.name.removeprefix("step-"), folder)
        for folder in (path / CHECKPOINTS).glob("step-*")
        if (folder / MODEL_FILE).is_file()
    )
    return [(int(step), folder) for step, folder in numbered if step.isdigit()]


def _read_tokenizer(folder: Path, record: Mapping[str, Any] | None) -> Tokenizer | None:
    if record is None:
        return None
    if record["name"] == BYTES:
        return ByteTokenizer()
    tokenizer = tokenizer_of(
        (folder / TOKENIZER_FILE).read_text(encoding="utf-8"),
        name=str(record["name"]),
        end_of_document=int(record["end_of_document"]),
    )
    if tokenizer.sha256 != record["sha256"]:
        raise CheckpointError(
            f"A model means something only with its own tokenizer; {folder / TOKENIZER_FILE} has sha256 "
            f"{tokenizer.sha256[:12]}, the model's had {str(record['sha256'])[:12]}. Restore it."
        )
    return tokenizer
