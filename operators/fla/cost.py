"""What a layer of fla costs, read off the layer. Needs torch and fla, unlike `operators/cost.py`, which asks here.

Parameters are exact. FLOPs follow the same convention as far as fla tells what a layer computes: 2 for every weight of
a projection or convolution, and 4 for every number of the recurrent state (one update, one reading).
"""

import math
from typing import Final

import torch
from torch import nn

from operators.fla.classes import build_layer
from operators.fla.layer import FlaLayer
from search_spaces.errors import UnavailableError
from search_spaces.specs import FlaSpec

RECURRENT_STATE_BYTES: Final = 4

KEYS_BY_VALUES: Final = frozenset({"delta_net", "gated_deltanet", "gated_deltaproduct", "gla", "kda"})
"""Layers whose state is a matrix [K, V] for every head, and the inputs of their convolutions."""

ANY_EPS: Final = 1e-5


def fla_parameters(spec: FlaSpec, *, hidden_size: int) -> int:
    """Return the parameters of the layer, without the norm before it."""
    return sum(parameter.numel() for parameter in _on_meta(spec, hidden_size).parameters())


def fla_flops(spec: FlaSpec, *, hidden_size: int) -> int:
    """Return the FLOPs of one forward token.

    Raises:
        UnavailableError: the size of the state is known to a GPU only.
    """
    layer = _on_meta(spec, hidden_size)
    weights = sum(module.weight.numel() for module in layer.modules() if isinstance(module, nn.Linear | nn.Conv1d))
    return 2 * weights + 4 * _state_numbers(spec, layer, hidden_size)[1]


def fla_state_bytes(spec: FlaSpec, *, hidden_size: int, dtype_bytes: int) -> int:
    """Return the bytes kept for one sequence: histories in the model's dtype, recurrent states in float32.

    Raises:
        UnavailableError: it is known to a GPU only.
    """
    histories, recurrent = _state_numbers(spec, _on_meta(spec, hidden_size), hidden_size)
    return histories * dtype_bytes + recurrent * RECURRENT_STATE_BYTES


def _on_meta(spec: FlaSpec, hidden_size: int) -> nn.Module:
    with torch.device("meta"):
        return build_layer(spec, hidden_size=hidden_size, norm_eps=ANY_EPS)


def _state_numbers(spec: FlaSpec, layer: nn.Module, hidden_size: int) -> tuple[int, int]:
    """Return the numbers of a state in the model's dtype, and those in float32."""
    histories = sum(math.prod(module.weight.shape) for module in layer.modules() if isinstance(module, nn.Conv1d))
    if spec.layer in KEYS_BY_VALUES:
        heads = getattr(layer, "num_v_heads", None) or _number(layer, "num_heads")
        return histories, heads * _number(layer, "head_k_dim") * _number(layer, "head_v_dim")
    told = getattr(layer, "state_size", None)
    if callable(told):
        return histories, told() - histories
    return _measured(spec, hidden_size)


def _number(layer: nn.Module, name: str) -> int:
    return int(getattr(layer, name))


def _measured(spec: FlaSpec, hidden_size: int) -> tuple[int, int]:
    if not torch.cuda.is_available():
        raise UnavailableError(
            f"fla does not tell the size of the state of fla:{spec.layer}; it is measured by running one token on a "
            "GPU, and there is none here. Ask on a machine with one."
        )
    with torch.device("cuda"):
        operator = FlaLayer(spec, hidden_size=hidden_size, norm_eps=ANY_EPS, backend="fla").bfloat16()
    state = operator.new_state(batch_size=1, max_tokens=1, device="cuda", dtype=torch.bfloat16)
    wide = sum(tensor.numel() for tensor in state.tensors() if tensor.dtype == torch.float32)
    return sum(tensor.numel() for tensor in state.tensors()) - wide, wide
