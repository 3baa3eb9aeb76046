"""Steps of training that take turns: forward, backward, clipping, AdamW, as tokens a second and utilisation.

What is trained, and against whom, the benchmarks say.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from benchmarks.backends import take_turns
from benchmarks.document import DeviceName, Figure, IncorrectError
from nas.winners.utilisation import flops_per_token, peak_flops
from operators.training_memory import training_memory
from search_spaces.architecture import Architecture

CLIP_NORM: Final = 1.0
BATCHES: Final = (8, 4, 2, 1)
MEMORY_USED: Final = 0.8
"""Of the device's, by what a step on the torch backends is stated to take; fused kernels take less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a step trains on."""

    batch: int
    tokens: int
    checkpointing: bool = False

    def __str__(self) -> str:
        return f"{self.batch}×{self.tokens}{', checkpointed' if self.checkpointing else ''}"


def size_that_fits(architecture: Architecture, *, tokens: int, device: DeviceName) -> Size:
    """Return the largest batch that a GPU holds, all activations kept where at least one sequence then fits."""
    if device == "cpu":
        return Size(batch=1, tokens=tokens)
    memory = MEMORY_USED * torch.cuda.get_device_properties(0).total_memory
    for checkpointing in (False, True):
        for batch in BATCHES:
            needed = training_memory(architecture, batch_size=batch, num_tokens=tokens, checkpointing=checkpointing)
            if needed.total <= memory:
                return Size(batch=batch, tokens=tokens, checkpointing=checkpointing)
    raise IncorrectError(f"One sequence of {tokens} tokens of {architecture.pattern} does not fit into this GPU.")


def random_tokens(size: Size, *, vocab_size: int, device: DeviceName) -> Tensor:
    """Return a batch with the token after each sequence."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocab_size, (size.batch, size.tokens + 1), generator=generator).to(device)


def training_step(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[], Tensor],
    *,
    device: DeviceName,
    after: Sequence[Callable[[], None]] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> Callable[[], None]:
    """Return one whole step, in bfloat16 autocast on a GPU.

    Args:
        parameters: trained ones.
        loss: what is lowered.
        device: where they are.
        after: done when the weights have been updated.
        optimizer: where steps share one; its own AdamW else.

    Raises:
        IncorrectError: the loss is no number; nothing is timed then.
    """
    trained = [parameter for parameter in parameters if parameter.numel()]
    optimizer = optimizer or torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            value = loss()
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(trained, CLIP_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for do in after:
            do()

    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        if not bool(torch.isfinite(first := loss())):
            raise IncorrectError(f"The loss of a step that is timed must be a number; got {float(first)}.")
    return step


def time_steps(steps: Mapping[str, Callable[[], None]], *, samples: int, device: DeviceName) -> dict[str, float]:
    """Return the median milliseconds of each, all taking turns."""
    taken = take_turns(steps, samples=samples, device=device)
    return {name: statistics.median(times) for name, times in taken.items()}


def speed_figures(name: str, milliseconds: float, architecture: Architecture, size: Size) -> dict[str, Figure]:
    """Return a row: the step, tokens a second, and utilisation where the device's peak is known."""
    tokens_per_s = 1e3 * size.batch * size.tokens / milliseconds
    figures = {
        f"{name}: step": Figure(value=milliseconds, unit="ms"),
        f"{name}: speed": Figure(value=tokens_per_s, unit="tokens/s"),
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak, needed = peak_flops(device, bfloat16=True), flops_per_token(architecture, sequence_tokens=size.tokens)
    if peak is not None and needed is not None:
        figures[f"{name}: utilisation"] = Figure(value=100 * tokens_per_s * needed / peak, unit="%")
    return figures
