"""Where training runs and in which arithmetic: devices by name, bfloat16 autocast where it is native."""

import torch

from proxies.settings import TrainingDtype
from search_spaces.errors import UnavailableError


def resolve_device(name: str) -> torch.device:
    """Return the device a setting names; `auto` is the GPU where there is one.

    Raises:
        UnavailableError: torch does not know the device, or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnavailableError(f"torch knows no device {name!r}. Use auto, cpu or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnavailableError(
            f"There is no device {name!r}; torch sees {torch.cuda.device_count()} GPU(s). Use auto or cpu."
        )
    return device


def check_dtype(dtype: TrainingDtype, *, device: torch.device) -> None:
    """Refuse arithmetic that the device would emulate.

    Raises:
        UnavailableError: bfloat16 on a GPU without it.
    """
    if dtype == "bfloat16" and device.type == "cuda" and not _has_native_bfloat16(device):
        raise UnavailableError(
            f"{torch.cuda.get_device_name(device)} has no native bfloat16. Use dtype float32 or auto."
        )


def autocast(dtype: TrainingDtype, *, device: torch.device) -> torch.autocast:
    """Return the context of the forward pass.

    `auto` is bfloat16 on a GPU with native bfloat16. On a CPU it is float32, which is faster for models this small and
    gives the same losses on CPUs with and without bfloat16.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bfloat16(dtype, device=device))


def is_bfloat16(dtype: TrainingDtype, *, device: torch.device) -> bool:
    """Whether that context is one of bfloat16."""
    return dtype == "bfloat16" or (dtype == "auto" and _has_native_bfloat16(device))


def _has_native_bfloat16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
