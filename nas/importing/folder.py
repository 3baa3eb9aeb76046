"""A published model's folder, config.json and safetensors, read into our architecture and weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.errors import CheckpointError, ModelImportError
from nas.export.native.layout import Layout, mismatches, to_ours
from nas.importing.config import read_config
from nas.importing.dtypes import DTYPES
from nas.importing.families import FAMILIES
from proxies.json_tokenizer import TOKENIZER_FILE
from search_spaces import Architecture
from search_spaces.errors import SpecError, near_miss

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NAMED: Final = 5
"""Mismatches an error lists; the others it counts."""

_HEAD: Final = "lm_head.weight"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedModel:
    """A published model as one of ours."""

    architecture: Architecture
    weights: dict[str, "Tensor"]
    """By the names of `HybridLM`."""

    has_tokenizer: bool
    """Whether there is a tokenizer.json beside it."""

    model_type: str


def read_folder(folder: Path, *, dtype: "torch.dtype | None" = None) -> ImportedModel:
    """Return the model of a folder.

    Args:
        folder: config.json and safetensors.
        dtype: of the weights, before anything is folded into them; none means as they were published.

    Raises:
        ModelImportError: no such folder, an architecture that cannot be read, a field or tensors that no operator here
            computes, or tensors that are not those of the configuration.
    """
    from nas.winners.weights import read_weights

    config = read_config(folder)
    if config.model_type not in FAMILIES:
        raise ModelImportError(
            f"The model_type {config.model_type!r} cannot be imported.{near_miss(config.model_type, FAMILIES)}"
        )
    config.require("quantization_config", None, default=None)
    family = FAMILIES[config.model_type]
    try:
        architecture = family.architecture(config)
    except SpecError as error:
        raise ModelImportError(f"{folder}: the configuration describes no model of ours: {error}") from error
    try:
        published = read_weights(folder)
    except CheckpointError as error:
        raise ModelImportError(
            f"The weights in {folder} cannot be read: {error.__cause__ or error}. Only safetensors are."
        ) from error
    named = {family.standard_name(name): tensor for name, tensor in published.items()}
    foreign = {name: tensor for name, tensor in named.items() if name is not None}
    _require_plain(foreign)
    if architecture.tie_embeddings:
        _leave_out_tied_head(foreign, family.layout_of(architecture))
    foreign = family.unfolded(foreign, architecture)
    layout = family.layout_of(architecture)
    wrong = mismatches({name: tuple(tensor.shape) for name, tensor in foreign.items()}, layout)
    if wrong:
        more = f"; {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ModelImportError(
            f"The tensors in {folder} are not those of its configuration: {'; '.join(wrong[:_NAMED])}{more}. "
            "Is the folder whole?"
        )
    weights = to_ours(foreign, layout)
    if dtype is not None:
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    if not architecture.num_meta_tokens:
        weights["meta_tokens"] = weights["embedding"].new_empty(0, architecture.hidden_size)
    folded, architecture = family.fold(weights, config, architecture)
    return ImportedModel(
        architecture=architecture,
        weights=dict(folded),
        has_tokenizer=(folder / TOKENIZER_FILE).is_file(),
        model_type=config.model_type,
    )


def _require_plain(foreign: "dict[str, Tensor]") -> None:
    """Refuse quantised weights, whose scales no operator knows."""
    for name, tensor in foreign.items():
        if tensor.dtype not in DTYPES.values():
            raise ModelImportError(
                f"Weights must be of dtype {', '.join(DTYPES)}; {name} is {str(tensor.dtype).removeprefix('torch.')}. "
                "Download the model as it was before quantisation."
            )


def _leave_out_tied_head(foreign: "dict[str, Tensor]", layout: Layout) -> None:
    """Leave out a head that stands beside the embedding it is tied to, as some write it; it must be the same."""
    head = foreign.pop(_HEAD, None)
    embedding = foreign.get(layout["embedding"][0].name)
    if head is not None and embedding is not None and not head.equal(embedding):
        raise ModelImportError(
            f"tie_word_embeddings says that {_HEAD} is {layout['embedding'][0].name}, but they differ. "
            "Which is meant? Set tie_word_embeddings to false, or delete one."
        )
