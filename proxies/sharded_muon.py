"""Muon for matrices whose rows are spread over processes: the same update as of whole ones.

Momentum stays spread as the weights are. What is orthogonalised is gathered, a matrix at a time, and every process
computes all of it: multiplying the parts in bfloat16 and adding up would differ by 2–3 % from the whole.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Muon, Optimizer


class ShardedMuon(Optimizer):
    """Steps as long as AdamW's [arXiv 2502.16982], with torch's own iteration."""

    def __init__(self, matrices: list[nn.Parameter], *, lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        """Take matrices sharded over one mesh, the same in every process."""
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # no loss is computed anew
        """Update the weights; every process takes part."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update_(weight, group)

    def _update_(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        gradient = weight.grad
        assert isinstance(weight, DTensor)
        assert isinstance(gradient, DTensor)
        memory = self.state[weight]
        if "momentum_buffer" not in memory:
            memory["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = memory["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"])
        assert isinstance(ahead, DTensor)
        # Without momentum and decay, a step from zero is the update.
        whole = nn.Parameter(torch.zeros(weight.shape, dtype=weight.dtype, device=weight.device))
        whole.grad = ahead.full_tensor()
        update = Muon(
            [whole], lr=group["lr"], weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw"
        )
        update.step()  # type: ignore[no-untyped-call]  # torch's
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(distribute_tensor(whole.detach(), weight.device_mesh, weight.placements, src_data_rank=None))
