"""What updates the weights: AdamW for all of them, or Muon for the matrices and AdamW for the rest.

Decay is on matrices only. How the learning rate moves over the steps is `schedule.py`.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from proxies.settings import TrainingSettings

EMBEDDING_NAMES: Final = frozenset({"embedding", "meta_tokens"})
"""Parameters that are looked up, where they are not in an `nn.Embedding`."""

HEAD_NAME: Final = "head"

_RATE_FACTOR: Final = "rate_factor"


class Updates:
    """The optimizers of one model as one."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained, each once."""
        return [parameter for group in self._groups for parameter in group["params"]]

    def step(self, *, rate: float) -> None:
        """Update the weights at a learning rate, and forget the gradients."""
        for group in self._groups:
            group["lr"] = rate * group[_RATE_FACTOR]
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def memory_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        """Return what is remembered of a trained parameter, to be read or filled: moments, counters."""
        for optimizer in self._optimizers:
            if any(parameter is each for group in optimizer.param_groups for each in group["params"]):
                memory: dict[str, Any] = optimizer.state[parameter]
                return memory
        raise KeyError("No optimizer trains this parameter.")

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]


def make_updates(model: nn.Module, settings: TrainingSettings, *, width: int | None = None) -> Updates:
    """Return what updates a model's trainable parameters, each once.

    Decayed are parameters of two and more axes that are no embedding; a head tied to the embedding counts as one. With
    `settings.base_width`, matrices of a model of another width learn at base_width / width of the rate, so that a rate
    found at one width serves the others [arXiv 2203.03466]. Muon takes the matrices of two axes but the head, at steps
    as long as AdamW's, so that one rate serves both [arXiv 2502.16982].
    """
    matrices, others = _divided(model)
    factor = 1.0 if settings.base_width is None or width is None else settings.base_width / width
    decayed = {"params": matrices, "weight_decay": settings.weight_decay, _RATE_FACTOR: factor}
    plain = {"params": others, "weight_decay": 0.0, _RATE_FACTOR: 1.0}
    if settings.optimizer == "adamw":
        return Updates([_adamw([decayed, plain], settings)])
    heads = {id(parameter) for name, parameter in model.named_parameters() if name.rpartition(".")[2] == HEAD_NAME}
    orthogonal = [parameter for parameter in matrices if parameter.ndim == 2 and id(parameter) not in heads]
    chosen = {id(parameter) for parameter in orthogonal}
    decayed["params"] = [parameter for parameter in matrices if id(parameter) not in chosen]
    optimizers: list[Optimizer] = []
    if orthogonal:
        muon = _muon(orthogonal, settings)
        for group in muon.param_groups:
            group[_RATE_FACTOR] = factor
        optimizers.append(muon)
    rest = [group for group in (decayed, plain) if group["params"]]
    return Updates([*optimizers, _adamw(rest, settings)] if rest else optimizers)


def _divided(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_embedding = id(parameter) in embeddings or name.rpartition(".")[2] in EMBEDDING_NAMES
            (others if parameter.ndim < 2 or is_embedding else matrices).append(parameter)
    return matrices, others


def _muon(matrices: list[nn.Parameter], settings: TrainingSettings) -> Optimizer:
    if dist.is_initialized():
        from torch.distributed.tensor import DTensor

        from proxies.sharded_muon import ShardedMuon

        if isinstance(matrices[0], DTensor):
            return ShardedMuon(matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.Muon(
        matrices, lr=settings.learning_rate, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw"
    )


def _adamw(groups: list[dict[str, Any]], settings: TrainingSettings) -> Optimizer:
    # One native call updates every parameter; the default would be a Python loop on a CPU.
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, betas=settings.betas, fused=True
    )
