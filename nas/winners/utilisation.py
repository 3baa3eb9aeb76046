"""Model FLOP utilisation: the arithmetic a training needs, over what its devices could do [arXiv 2204.02311, App. B].

What is computed twice (checkpointed activations) counts once.
"""

from typing import Final

import torch

from proxies.budget import training_flops_per_token
from search_spaces import Architecture, SpecError

PEAK_FLOPS: Final = {
    "GB200": 2.25e15,
    "B200": 2.25e15,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Dense bfloat16 operations a second by a part of the device's name, as its maker says; the first that fits holds."""


def peak_flops(device: torch.device, *, bfloat16: bool) -> float | None:
    """Return what a device could do a second; none where that is not known, as of CPUs and of float32."""
    if device.type != "cuda" or not bfloat16:
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def flops_per_token(architecture: Architecture, *, sequence_tokens: int) -> float | None:
    """Return the arithmetic of training on one token; none where an operator's is not known."""
    try:
        return training_flops_per_token(architecture, sequence_tokens=sequence_tokens)
    except SpecError:
        return None
