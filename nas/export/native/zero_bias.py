"""Biases of zero on attention's output projection, where an architecture has biases on all of q, k, v and o or none."""

from typing import TYPE_CHECKING, Final

from nas.errors import ModelImportError

if TYPE_CHECKING:
    from torch import Tensor

WORDS: Final = "attention's output projection has a bias of zero, beside those of q, k and v"

_WEIGHT: Final = "self_attn.o_proj.weight"
_BIAS: Final = "self_attn.o_proj.bias"


def with_zero_biases(foreign: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Return the tensors with a bias of zero for every output projection of attention."""
    biases = {
        name.replace(_WEIGHT, _BIAS): weight.new_zeros(weight.shape[0])
        for name, weight in foreign.items()
        if name.endswith(_WEIGHT)
    }
    return foreign | biases


def without_zero_biases(foreign: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Return the tensors without these biases.

    Raises:
        ModelImportError: one of them is not zero.
    """
    for name, tensor in foreign.items():
        if name.endswith(_BIAS) and tensor.any():
            raise ModelImportError(
                f"Attention here has no bias on its output projection; {name} is not zero. "
                "Import a model with attention_bias false."
            )
    return {name: tensor for name, tensor in foreign.items() if not name.endswith(_BIAS)}
