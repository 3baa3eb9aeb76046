"""Training Nemotron-Flash-1B at 4096 tokens on one GPU: tokens a second, with weight normalization and without.

The paper's takes an iteration of a 1B Llama from 0.43 to 0.46 s and of a 1B hybrid from 0.78 to 0.81 s: 7 and 4 %
[NF 2.4]. Here one model is trained in turns with it and without, its layers as written and as torch.compile makes
them. First normalization is checked against a float64 loop. On a CPU this is a dry run of a tiny model.
"""

import gc
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

import torch
from torch import Tensor

from benchmarks.document import Claim, Document, Figure, Options, describe_device, main, versions
from benchmarks.training_speed import (
    Size,
    random_tokens,
    size_that_fits,
    speed_figures,
    time_steps,
    training_step,
)
from benchmarks.weight_norm import check
from nas.winners.compiled_layers import compiled_layers
from nas.winners.loss import TrainingLoss
from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from search_spaces.architecture import Architecture
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.references import load_reference

NUM_THREADS: Final = 1
TOKENS: Final = 4096
DRY_TOKENS: Final = 64
PAPER: Final = {"1B Llama": (0.43, 0.46), "1B hybrid": (0.78, 0.81)}
"""Seconds of an iteration without and with normalization."""

MOST_PERCENT: Final = 7.0
"""The larger of the paper's overheads."""


def benchmark(options: Options) -> Document:
    """Check, then time, the layers as written and, on a GPU, compiled."""
    torch.set_num_threads(NUM_THREADS)
    device = options.device
    flash = load_reference("nemotron-flash-1b")
    architecture = (
        flash
        if device == "cuda"
        else architecture_from_pattern(flash.pattern, hidden_size=64, vocab_size=257, num_meta_tokens=8)
    )
    size = size_that_fits(architecture, tokens=TOKENS if device == "cuda" else DRY_TOKENS, device=device)
    figures: dict[str, Figure] = {}
    added = []
    for words, is_compiled in (("as written", False), *((("compiled", True),) if device == "cuda" else ())):
        milliseconds = _times(architecture, size, is_compiled=is_compiled, options=options)
        name = f"nemotron-flash-1b, {size}, {words}"
        figures |= speed_figures(f"{name}, no normalization", milliseconds["without"], architecture, size)
        figures |= speed_figures(f"{name}, normalized", milliseconds["with"], architecture, size)
        added.append(100 * (milliseconds["with"] / milliseconds["without"] - 1))
        figures[f"{name}, normalized: added"] = Figure(value=added[-1], unit="%")
    for model, (without, with_it) in PAPER.items():
        figures[f"the paper's {model}: added"] = Figure(value=100 * (with_it / without - 1), unit="%")
    return Document(
        benchmark="training_throughput",
        device=describe_device(device, num_threads=NUM_THREADS),
        versions=versions("torch", "triton", "flash-linear-attention", "mamba-ssm"),
        figures=figures,
        claims=[
            Claim.at_most("what weight normalization adds to a step, % (largest)", value=max(added), bound=MOST_PERCENT)
        ]
        if device == "cuda"
        else [],
    )


def _times(architecture: Architecture, size: Size, *, is_compiled: bool, options: Options) -> dict[str, float]:
    """Return the milliseconds of a step without normalization and with it."""
    device = options.device
    with torch.device(device):
        model = HybridLM(architecture, seed=0)
    model.checkpoints_activations = size.checkpointing
    normalization = WeightNormalization(model)
    check(model, normalization)
    tokens_BT = random_tokens(size, vocab_size=architecture.vocab_size, device=device)
    loss = _loss(model, tokens_BT)
    parameters = [parameter for parameter in model.parameters() if parameter.numel()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0, fused=True)
    with compiled_layers(model, num_stages=1) if is_compiled else nullcontext():
        steps = {
            "without": training_step(parameters, loss, device=device, optimizer=optimizer),
            "with": training_step(parameters, loss, device=device, optimizer=optimizer, after=(normalization.apply_,)),
        }
        found = time_steps(steps, samples=30 if options.full else 12, device=device)
    del model, normalization, steps, loss, parameters, optimizer
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return found


def _loss(model: HybridLM, tokens_BT: Tensor) -> Callable[[], Tensor]:
    module = TrainingLoss(model)

    def loss() -> Tensor:
        lowered: Tensor = module(tokens_BT)[0]
        return lowered

    return loss


if __name__ == "__main__":
    sys.exit(
        main(benchmark, description="Speed of training with weight normalization and without.", devices=("cuda", "cpu"))
    )
