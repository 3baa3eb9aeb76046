"""Linear layers that multiply in float8: torchao's, scaled tensor by tensor. Weights and updates stay float32."""

import importlib
from typing import Final

import torch
from torch import nn

from operators.model import HybridLM
from search_spaces import UnavailableError

_FIRST_CAPABILITY: Final = (8, 9)
"""Of GPUs that multiply float8: Ada and Hopper on."""

_MULTIPLE: Final = 16
"""What both sides of a matrix must be multiples of."""


def to_float8_(model: HybridLM, *, device: torch.device) -> None:
    """Have the projections of all operators multiply in float8; embedding and head do not.

    Raises:
        UnavailableError: no GPU that can, or no torchao.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _FIRST_CAPABILITY:
        raise UnavailableError(
            f"fp8 needs a GPU that multiplies float8 (compute capability 8.9 on); the device is {device}. "
            "Set fp8: false."
        )
    try:
        float8 = importlib.import_module("torchao.float8")
    except ImportError as error:
        raise UnavailableError(
            "fp8 needs the package torchao. Install it with: pip install 'hybridnas[fp8]', or set fp8: false."
        ) from error
    float8.convert_to_float8_training(model.layers, module_filter_fn=_is_converted)


def _is_converted(module: nn.Module, name: str) -> bool:  # noqa: ARG001  torchao's signature
    return isinstance(module, nn.Linear) and all(size % _MULTIPLE == 0 for size in module.weight.shape)
