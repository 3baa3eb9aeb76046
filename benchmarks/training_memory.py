"""The peak memory of a training step as `operators/training_memory.py` states it, against what a step takes.

On a CPU a small hybrid of every operator is trained while the storages of its tensors are counted, and one step of
Nemotron-Flash-1B runs on tensors that have sizes and no memory. On a GPU Nemotron-Flash-1B is trained and the allocator
asked. The torch backends run everywhere, since it is them that are described.
"""

import gc
import sys
from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.document import Claim, DeviceName, Document, Figure, Options, describe_device, main, versions
from benchmarks.live_bytes import LiveBytes
from operators.model import HybridLM
from operators.training_memory import training_memory
from proxies.optimizer import make_updates
from proxies.placement import autocast
from proxies.settings import TrainingDtype, TrainingSettings
from proxies.training import next_token_loss, train
from search_spaces.architecture import Architecture
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.references import load_reference

NUM_THREADS: Final = 1
PATTERN: Final = "d f m2 f a gd w m1 hh f"
MOST_PERCENT: Final = 10.0
BYTES: Final[dict[TrainingDtype, int]] = {"float32": 4, "bfloat16": 2}


def tracked_peak(
    architecture: Architecture, *, batch_size: int, num_tokens: int, dtype: TrainingDtype, checkpointing: bool
) -> int:
    """Return the most bytes of tensors alive in the second step of short training on a CPU."""
    live = LiveBytes()
    with live:
        model = HybridLM(architecture, seed=0)
        live.start_again()
        _train(
            model,
            _settings(batch_size, num_tokens, dtype=dtype, device="cpu"),
            checkpointing=checkpointing,
            before_last=live.start_again,
        )
    return live.peak


def allocated_peak(
    architecture: Architecture, *, batch_size: int, num_tokens: int, dtype: TrainingDtype, checkpointing: bool
) -> int:
    """Return what torch's allocator gave out at most in the second step of short training on a GPU."""
    gc.collect()
    before = torch.cuda.memory_allocated()
    with torch.device("cuda"):
        model = HybridLM(architecture, seed=0, backend="chunked")
    _train(
        model,
        _settings(batch_size, num_tokens, dtype=dtype, device="cuda"),
        checkpointing=checkpointing,
        before_last=torch.cuda.reset_peak_memory_stats,
    )
    return torch.cuda.max_memory_allocated() - before


def imagined_peak(
    architecture: Architecture, *, batch_size: int, num_tokens: int, dtype: TrainingDtype, checkpointing: bool
) -> int:
    """Return the same as `tracked_peak` for a model of any size: its step runs on tensors without memory.

    The step is that of short training without what looks at a number, which there is none of.
    """
    settings = _settings(batch_size, num_tokens, dtype=dtype, device="cpu")
    with torch.device("meta"):
        model = HybridLM(architecture, seed=0)
    model.checkpoints_activations = checkpointing
    live = LiveBytes()
    with FakeTensorMode(allow_non_fake_inputs=True), live:
        for module in model.modules():
            for name, weight in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(torch.empty(weight.shape)))
        updates = make_updates(model, settings)
        tokens_BT = torch.zeros(batch_size, num_tokens + 1, dtype=torch.int64)
        for _ in range(settings.steps):
            live.start_again()
            with autocast(settings.dtype, device=tokens_BT.device):
                loss = next_token_loss(model, tokens_BT)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(updates.parameters, settings.clip_norm, foreach=True)
            updates.step(rate=settings.learning_rate)
            del loss
    return live.peak


def _settings(batch_size: int, num_tokens: int, *, dtype: TrainingDtype, device: str) -> TrainingSettings:
    # Two steps: AdamW makes its moments in the first.
    return TrainingSettings(steps=2, batch_size=batch_size, sequence_tokens=num_tokens, dtype=dtype, device=device)


def _train(
    model: HybridLM, settings: TrainingSettings, *, checkpointing: bool, before_last: Callable[[], None]
) -> None:
    model.checkpoints_activations = checkpointing
    generator = np.random.default_rng(0)

    def batch(step: int) -> NDArray[np.int64]:
        if step == settings.steps - 1:
            before_last()
        shape = (settings.batch_size, settings.sequence_tokens + 1)
        return generator.integers(model.architecture.vocab_size, size=shape)

    train(model, batch, settings)


def cases(device: DeviceName, *, full: bool) -> list[tuple[str, Architecture, int, int, TrainingDtype, bool, bool]]:
    """Return what is measured: name, architecture, batch, tokens, arithmetic, checkpointing, and whether imagined."""
    flash = load_reference("nemotron-flash-1b")
    if device == "cuda":
        kinds = (True, False) if full else (True,)
        return [(f"nemotron-flash-1b, 1×4096, {_word(c)}", flash, 1, 4096, "bfloat16", c, False) for c in kinds]
    small = architecture_from_pattern(PATTERN, hidden_size=128, vocab_size=257)
    dtypes: tuple[TrainingDtype, ...] = ("float32", "bfloat16")
    tracked = [
        (f"{PATTERN}, 2×512, {dtype}, {_word(c)}", small, 2, 512, dtype, c, False)
        for dtype in dtypes
        for c in (True, False)
    ]
    kinds = (True, False) if full else (True,)
    imagined = [(f"nemotron-flash-1b, 1×4096, {_word(c)}", flash, 1, 4096, dtypes[1], c, True) for c in kinds]
    return [*tracked, *imagined]


def _word(checkpointing: bool) -> str:
    return "checkpointed" if checkpointing else "all kept"


def benchmark(options: Options) -> Document:
    """Compare every case."""
    torch.set_num_threads(NUM_THREADS)
    figures: dict[str, Figure] = {}
    errors = []
    for name, architecture, batch_size, num_tokens, dtype, checkpointing, is_imagined in cases(
        options.device, full=options.full
    ):
        peak_of = imagined_peak if is_imagined else allocated_peak if options.device == "cuda" else tracked_peak
        measured = peak_of(
            architecture, batch_size=batch_size, num_tokens=num_tokens, dtype=dtype, checkpointing=checkpointing
        )
        stated = training_memory(
            architecture,
            batch_size=batch_size,
            num_tokens=num_tokens,
            compute_dtype_bytes=BYTES[dtype],
            checkpointing=checkpointing,
            device=options.device,
        )
        errors.append(100 * abs(stated.total / measured - 1))
        figures |= {
            f"{name}: measured": Figure(value=measured / 1e6, unit="MB"),
            f"{name}: stated": Figure(value=stated.total / 1e6, unit="MB"),
            f"{name}: error": Figure(value=errors[-1], unit="%"),
        }
    return Document(
        benchmark="training_memory",
        device=describe_device(options.device, num_threads=NUM_THREADS),
        versions=versions("torch"),
        figures=figures,
        claims=[
            Claim.at_most(
                "how far the stated peak of a training step is from the measured one, % (largest)",
                value=max(errors),
                bound=MOST_PERCENT,
            )
        ],
    )


if __name__ == "__main__":
    sys.exit(main(benchmark, description="The peak memory of a training step.", devices=("cpu", "cuda")))
