"""What optimizers remember, as tensors by name and counters; spread over processes where the weights are."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from proxies.optimizer import Updates

_PREFIX: Final = "optimizer"
_COUNTER: Final = "step"
"""How many updates a parameter has had; kept as a number, the rest as tensors."""


def optimizer_tensors(model: nn.Module, updates: Updates) -> dict[str, Tensor]:
    """Return every moment by `optimizer.KIND.PARAMETER`."""
    return {
        f"{_PREFIX}.{kind}.{name}": value
        for name, memory in _memories(model, updates)
        for kind, value in memory.items()
        if kind != _COUNTER
    }


def optimizer_counters(model: nn.Module, updates: Updates) -> dict[str, int]:
    """Return how many updates each parameter had, where that is counted."""
    counters = {name: memory[_COUNTER] for name, memory in _memories(model, updates) if _COUNTER in memory}
    if not counters:
        return {}
    # One wait for the device, not one each.
    counts = torch.stack([torch.as_tensor(count, dtype=torch.float64) for count in counters.values()]).tolist()
    return dict(zip(counters, map(int, counts), strict=True))


def prepare_optimizer(
    model: nn.Module, updates: Updates, *, names: Mapping[str, Any], counters: Mapping[str, int]
) -> dict[str, Tensor]:
    """Make room for what `optimizer_tensors` wrote under these names and return it by name, to be read into."""
    parameters = dict(model.named_parameters())
    tensors: dict[str, Tensor] = {}
    memories: dict[str, dict[str, Tensor]] = {}
    for name in names:
        prefix, kind, parameter = name.split(".", 2)
        assert prefix == _PREFIX
        tensors[name] = torch.zeros_like(parameters[parameter], memory_format=torch.preserve_format)
        memories.setdefault(parameter, {})[kind] = tensors[name]
    for parameter, count in counters.items():
        device = parameters[parameter].device
        memories[parameter][_COUNTER] = torch.tensor(float(count), dtype=torch.float32, device=device)
    for parameter, memory in memories.items():
        updates.memory_of(parameters[parameter]).update(memory)
    return tensors


def _memories(model: nn.Module, updates: Updates) -> list[tuple[str, dict[str, Any]]]:
    return [(name, updates.memory_of(parameter)) for name, parameter in model.named_parameters()]
