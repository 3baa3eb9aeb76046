"""Weights of a model in safetensors, and models made of them. Nothing is unpickled."""

import errno
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from nas.errors import CheckpointError
from nas.winners.model_folder import ModelFolder, read_model_folder, write_model_json
from operators.model import HybridLM
from proxies.tokenizers import Tokenizer
from search_spaces import Architecture

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"


def save_model(folder: Path, model: HybridLM, *, tokenizer: Tokenizer | None, provenance: Mapping[str, Any]) -> None:
    """Write a model into a folder that exists and holds none; see `model_folder.py` for what is written."""
    save_weights(folder, model.state_dict())
    write_model_json(folder, model.architecture, tokenizer=tokenizer, provenance=provenance)


def save_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name as one file of safetensors.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = folder / f"{WEIGHTS_FILE}.partial"
    partial.touch()
    mode = partial.stat().st_mode  # as the umask has it, which safetensors does not ask
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    try:
        save_file(contiguous, partial, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(partial)) from error
    partial.chmod(stat.S_IMODE(mode))
    partial.replace(folder / WEIGHTS_FILE)


def load_model(
    path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None, backend: str = "auto"
) -> tuple[HybridLM, ModelFolder]:
    """Return the model of a folder, or of a training's newest checkpoint, and what the folder says.

    Args:
        path: a model's folder, or a training's.
        device: where the model is to be.
        dtype: of all its weights; none means as they were written.
        backend: of the operators, see `HybridLM`.

    Raises:
        CheckpointError: no model there, or weights that are not this architecture's.
    """
    described = read_model_folder(path)
    weights = read_weights(described.folder)
    model = build(described.architecture, weights, where=described.folder, backend=backend)
    return model.to(device=device, dtype=dtype), described


def build(architecture: Architecture, weights: Mapping[str, Tensor], *, where: Path, backend: str = "auto") -> HybridLM:
    """Return the model of an architecture that holds these weights, in their dtype.

    Raises:
        CheckpointError: names or shapes are not the architecture's; `where` says of what.
    """
    with torch.device("meta"):
        model = HybridLM(architecture, seed=0, backend=backend)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != given:
        raise CheckpointError(
            f"The weights in {where} are not those of its architecture: {_difference(wanted, given)}. "
            "Restore the folder, or name the checkpoint of this architecture."
        )
    model.load_state_dict(dict(weights), assign=True)
    return model


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return every tensor of a folder's safetensors by name: of its one file, or of the parts its index lists.

    Raises:
        CheckpointError: a file is missing or not whole.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if (folder / INDEX_FILE).is_file():
            index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
            files = sorted({_part(name) for name in index["weight_map"].values()})
        else:
            files = [WEIGHTS_FILE]
        weights: dict[str, Tensor] = {}
        for file in files:
            weights |= load_file(folder / file)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The weights in {folder} cannot be read: {error}. Use an earlier checkpoint, or restore this one."
        ) from error
    return weights


def _part(name: str) -> str:
    """Return the name of a part, which lies in the folder of its index."""
    if name != Path(name).name:
        raise ValueError(f"{INDEX_FILE} names {name!r}, which is no file beside it")
    return name


def _difference(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    for name in wanted:
        if name not in given:
            return f"{name} is missing"
        if given[name] != wanted[name]:
            return f"{name} must have shape {list(wanted[name])}; got {list(given[name])}"
    return f"{min(given.keys() - wanted.keys())} has no place"
