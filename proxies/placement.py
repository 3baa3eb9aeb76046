"""Where training runs and in which arithmetic: devices by name, bfloat16 autocast where it is native."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from proxies.settings import TrainingDtype, TrainingSettings
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


def resolve_devices(settings: TrainingSettings) -> tuple[torch.device, ...]:
    """Return the device of each process that trains: GPUs from the first, or the CPU for all.

    Raises:
        UnavailableError: as `resolve_device`, or fewer GPUs than processes.
    """
    device = resolve_device(settings.device)
    count = settings.num_processes or 1
    if count == 1 or device.type != "cuda":
        return (device,) * count
    if count > torch.cuda.device_count():
        raise UnavailableError(
            f"Each of training.num_processes={count} needs a GPU of its own; torch sees {torch.cuda.device_count()}. "
            "Lower it, or give a candidate more GPUs (resources.gpus_per_candidate)."
        )
    return tuple(torch.device("cuda", index) for index in range(count))


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


@contextmanager
def num_threads(count: int) -> Iterator[None]:
    """Let torch use this many CPU threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
