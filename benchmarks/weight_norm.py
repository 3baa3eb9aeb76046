"""What weight normalization adds to a training step: forward, backward, clipping, AdamW; with it and without, in turns.

Correctness first: afterwards every row or column concerned has length 1. On a CPU the models of short training are
trained, on a GPU Nemotron-Flash-1B in bfloat16, where the paper's own normalization costs 4 to 7 % [NF 2.4].
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.document import (
    Claim,
    DeviceName,
    Document,
    Figure,
    IncorrectError,
    Options,
    describe_device,
    main,
    versions,
)
from operators.model import HybridLM
from operators.weight_norm import WeightNormalization, normalize_
from search_spaces.architecture import Architecture
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.references import load_reference

NUM_THREADS: Final = 1
PATTERN: Final = "d f m2 f a f m2 f"
MOST_PERCENT: Final = {"cpu": 3.0, "cuda": 1.0}
LARGEST_DEVIATION: Final = 1e-5
CLIP_NORM: Final = 1.0
WARM_UP: Final = 3


def training_step(model: HybridLM, tokens_BT: Tensor) -> Callable[[], None]:
    """Return one whole step of training without normalization."""
    device = tokens_BT.device.type
    parameters = [parameter for parameter in model.parameters() if parameter.numel()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits_BTV = model(tokens_BT[:, :-1])
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).float(), tokens_BT[:, 1:].flatten())
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def check(model: HybridLM, normalization: WeightNormalization) -> None:
    """Compare one pass with a loop over the same matrices in float64.

    Raises:
        IncorrectError: a number differs; nothing is timed then.
    """
    expected = [matrix.weight.detach().double() for matrix in normalization.matrices]
    for weight, matrix in zip(expected, normalization.matrices, strict=True):
        normalize_(weight, part=matrix.part)
    normalization.apply_()
    for weight, matrix in zip(expected, normalization.matrices, strict=True):
        error = float((matrix.weight.detach() - weight).norm() / weight.norm())
        # `not <=` and not `>`: a NaN is incorrect.
        if not error <= LARGEST_DEVIATION:
            raise IncorrectError(
                f"Weight normalization must agree with a float64 loop within {LARGEST_DEVIATION:g} relative RMS; got "
                f"{error:.2e} at {tuple(matrix.weight.shape)} of {model.architecture.pattern}. No time is reported."
            )


def cases(device: DeviceName) -> list[tuple[str, Architecture, tuple[int, int]]]:
    """Return what is trained: a name, the architecture, and batch and tokens of a step."""
    if device == "cuda":
        return [("nemotron-flash-1b, 1×4096 tokens", load_reference("nemotron-flash-1b"), (1, 4097))]
    widths = (64, 128, 256)
    return [
        (
            f"{PATTERN}, width {width}, 2×256 tokens",
            architecture_from_pattern(PATTERN, hidden_size=width, vocab_size=257),
            (2, 257),
        )
        for width in widths
    ]


def benchmark(options: Options) -> Document:
    """Check, then time, every case."""
    torch.set_num_threads(NUM_THREADS)
    samples = 60 if options.full else 25
    figures: dict[str, Figure] = {}
    shares: list[float] = []
    for name, architecture, shape in cases(options.device):
        with torch.device(options.device):
            model = HybridLM(architecture, seed=0)
        model.checkpoints_activations = options.device == "cuda"
        normalization = WeightNormalization(model)
        check(model, normalization)
        tokens_BT = torch.randint(architecture.vocab_size, shape, generator=torch.Generator().manual_seed(0))
        step = training_step(model, tokens_BT.to(options.device))
        steps_ms, passes_ms = [], []
        for turn in range(WARM_UP + samples):
            taken_ms = [_ms(run, options.device) for run in (step, normalization.apply_)]
            if turn >= WARM_UP:
                steps_ms.append(taken_ms[0])
                passes_ms.append(taken_ms[1])
        share = 100 * statistics.median(b / a for a, b in zip(steps_ms, passes_ms, strict=True))
        shares.append(share)
        figures |= {
            f"{name}: step": Figure(value=statistics.median(steps_ms), unit="ms"),
            f"{name}: normalization": Figure(value=statistics.median(passes_ms), unit="ms"),
            f"{name}: added": Figure(value=share, unit="%"),
        }
    return Document(
        benchmark="weight_norm",
        device=describe_device(options.device, num_threads=NUM_THREADS),
        versions=versions("torch", "triton", "flash-linear-attention", "mamba-ssm"),
        figures=figures,
        claims=[
            Claim.at_most(
                "what weight normalization adds to a training step, % (largest median)",
                value=max(shares),
                bound=MOST_PERCENT[options.device],
            )
        ],
    )


def _ms(run: Callable[[], None], device: DeviceName) -> float:
    started = _now(device)
    run()
    return 1000 * (_now(device) - started)


def _now(device: DeviceName) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main(benchmark, description="The cost of weight normalization.", devices=("cpu", "cuda")))
