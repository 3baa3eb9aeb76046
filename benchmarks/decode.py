"""How fast the decoder generates: 8192 tokens at batch 1, and 256 after a 32k prompt at the largest batch that fits.

Nemotron-Flash-1B and Qwen3-0.6B with random weights, in bfloat16, Qwen3 beside transformers' `generate`; nothing is
timed before small models gave the right tokens (`decode_checks.py`). On a CPU those take the place of both, and nothing
is claimed about their speed.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from benchmarks.decode_checks import FLASH, QWEN, check_qwen3, check_tokens, prompt_of, small_models
from benchmarks.document import (
    Claim,
    DeviceName,
    Document,
    Figure,
    Options,
    describe_device,
    main,
    versions,
)
from benchmarks.published import SECONDS_FOR_8K, TOKENS_A_SECOND_AFTER_32K
from latency.bandwidth import read_bytes_per_second
from latency.copies import TORCH_DTYPES
from latency.memory import GIB, inference_memory, largest_batch
from latency.runtime import Decoder
from latency.whole_model import random_model
from latency.workload import Dtype, chunk_length
from operators.model import HybridLM
from operators.traffic import decode_bytes
from search_spaces.architecture import Architecture
from search_spaces.references import load_reference

MOST_S: Final = 10.0
NEXT_MOST_S: Final = 7.2

MOST_MEMORY_ERROR: Final = 5.0
"""Percent between the predicted and the reported peak."""

NUM_THREADS: Final = 1
RUNS: Final = 3

SMALLER: Final = (1.0, 0.95, 0.9)
"""Shares of the predicted largest batch to try, so that a prediction too high still gives a speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is generated."""

    dtype: Dtype
    generated: int
    """At batch 1, from nothing."""

    compared: int
    """By transformers, around the middle of that; its time is scaled to all of it."""

    prompt: int
    """At the largest batch."""

    after_prompt: int


ON_GPU: Final = Size(dtype="bfloat16", generated=8192, compared=256, prompt=32768, after_prompt=256)
ON_CPU: Final = Size(dtype="float32", generated=48, compared=8, prompt=64, after_prompt=8)


def seconds_to_generate(model: HybridLM, *, num_tokens: int) -> list[float]:
    """Return the seconds of several generations of so many tokens at batch 1, from nothing but the meta tokens."""
    decoder = Decoder(model, batch_size=1, max_tokens=num_tokens)
    found = []
    for _ in range(RUNS):
        decoder.reset()
        started = _now(model)
        decoder.extend(num_tokens)
        found.append(_now(model) - started)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRun:
    """What one batch behind a long prompt took."""

    batch_size: int
    tokens_per_second: float

    reported_bytes: int
    """Memory taken on the device at the end, when torch's allocator has given nothing back; 0 on a CPU."""


def run_batch(architecture: Architecture, size: Size, *, batch_size: int, device: DeviceName) -> BatchRun | None:
    """Generate behind a long prompt; none where the device has not enough memory.

    Only the last chunk of the prompt is read: it holds the most, and the random caches and states that stand for the
    tokens before it take no other time.
    """
    try:
        return _run_batch(architecture, size, batch_size=batch_size, device=device)
    except torch.OutOfMemoryError:
        return None
    finally:
        free_memory(device)


def _run_batch(architecture: Architecture, size: Size, *, batch_size: int, device: DeviceName) -> BatchRun:
    model = random_model(architecture, dtype=TORCH_DTYPES[size.dtype], device=device)
    decoder = Decoder(
        model,
        batch_size=batch_size,
        max_tokens=size.prompt + size.after_prompt,
    )
    # The whole prompt is there, as it is where all of it is read.
    prompt_BT = prompt_of(architecture, (batch_size, size.prompt), device=device)
    read = min(chunk_length(batch_size), size.prompt)
    decoder.reset()
    decoder.pretend(size.prompt - read)
    decoder.read(prompt_BT[:, size.prompt - read :])
    # The prompt's reading chose the first token.
    steps = size.after_prompt - 1
    started = _now(model)
    decoder.extend(steps)
    seconds = _now(model) - started
    reported = 0
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        reported = total - free
    return BatchRun(batch_size=batch_size, tokens_per_second=batch_size * steps / seconds, reported_bytes=reported)


def at_batch_one(name: str, architecture: Architecture, size: Size, *, device: DeviceName) -> dict[str, Figure]:
    """Time generation at batch 1 beside its floor, and transformers' where it has the model."""
    dtype = TORCH_DTYPES[size.dtype]
    model = random_model(architecture, dtype=dtype, device=device)
    taken = seconds_to_generate(model, num_tokens=size.generated)
    moved = decode_bytes(
        architecture, batch_size=1, first_context=0, num_steps=size.generated, dtype_bytes=dtype.itemsize
    )
    seconds = statistics.median(taken)
    figures = {
        f"{name}, {size.generated} tokens: seconds": Figure(value=seconds, unit="s"),
        f"{name}, {size.generated} tokens: fastest": Figure(value=min(taken), unit="s"),
        f"{name}, {size.generated} tokens: slowest": Figure(value=max(taken), unit="s"),
        f"{name}, {size.generated} tokens: moved": Figure(value=1e-12 * moved, unit="TB"),
        f"{name}, {size.generated} tokens: floor": Figure(
            value=moved / read_bytes_per_second(device, num_threads=NUM_THREADS), unit="s"
        ),
    }
    if device == "cuda":
        figures[f"{name}, {size.generated} tokens: published"] = Figure(value=SECONDS_FOR_8K[name], unit="s")
    if name == QWEN:
        prompt_BT = prompt_of(architecture, (1, (size.generated - size.compared) // 2), device=device)
        theirs_s = _transformers_s(model, prompt_BT, num_tokens=size.compared)
        if theirs_s is not None:
            scaled = theirs_s * size.generated / size.compared
            figures[f"{name}, {size.generated} tokens: transformers"] = Figure(value=scaled, unit="s")
            figures[f"{name}, {size.generated} tokens: faster"] = Figure(value=scaled / seconds, unit="×")
    return figures


def at_largest_batch(
    name: str, architecture: Architecture, size: Size, *, device: DeviceName, memory_bytes: int
) -> tuple[dict[str, Figure], list[Claim]]:
    """Time generation at the predicted largest batch; say how well its memory was predicted."""
    most = largest_batch(
        architecture,
        max_tokens=size.prompt + size.after_prompt,
        dtype=size.dtype,
        memory_bytes=memory_bytes,
        prompt_tokens=size.prompt,
        device=device,
    )
    attempts = (
        run_batch(architecture, size, batch_size=max(1, int(share * most)), device=device)
        for share in (SMALLER if device == "cuda" else SMALLER[:1])
    )
    ran = next((attempt for attempt in attempts if attempt is not None), None)
    subject = f"{name}, {size.after_prompt} tokens after {size.prompt}"
    figures = {
        f"{subject}: predicted largest batch": Figure(value=most, unit=""),
        f"{subject}: prompt tokens at once": Figure(value=chunk_length(most), unit=""),
    }
    if ran is not None:
        figures[f"{subject}: batch"] = Figure(value=ran.batch_size, unit="")
        figures[f"{subject}: rate"] = Figure(value=ran.tokens_per_second, unit="tokens/s")
    if device == "cpu":
        return figures, []
    figures[f"{subject}: published rate"] = Figure(value=TOKENS_A_SECOND_AFTER_32K[name], unit="tokens/s")
    runs_predicted = ran is not None and ran.batch_size == most
    twice = run_batch(architecture, size, batch_size=2 * most, device=device)
    claims = [
        Claim.at_least(f"{name}: the predicted largest batch runs", value=float(runs_predicted), bound=1.0),
        Claim.at_most(f"{name}: twice the predicted largest batch runs", value=float(twice is not None), bound=0.0),
    ]
    if ran is not None:
        predicted = inference_memory(
            architecture,
            max_tokens=size.prompt + size.after_prompt,
            dtype=size.dtype,
            batch_size=ran.batch_size,
            prompt_tokens=size.prompt,
        ).total
        error = 100 * abs(predicted / ran.reported_bytes - 1)
        figures |= {
            f"{subject}: predicted memory": Figure(value=predicted / GIB, unit="GiB"),
            f"{subject}: reported memory": Figure(value=ran.reported_bytes / GIB, unit="GiB"),
        }
        claims.append(
            Claim.at_most(
                f"{name}: between the predicted peak memory and the reported, %", value=error, bound=MOST_MEMORY_ERROR
            )
        )
    if name == QWEN and ran is not None:
        figures |= _transformers_rate(subject, architecture, size, most=ran.batch_size, device=device)
    return figures, claims


def _transformers_rate(
    subject: str, architecture: Architecture, size: Size, *, most: int, device: DeviceName
) -> dict[str, Figure]:
    """Return transformers' rate at our batch, or at the first half of a half of it that it has memory for."""
    steps, batch_size = size.after_prompt - 1, most
    while batch_size:
        try:
            model = random_model(architecture, dtype=TORCH_DTYPES[size.dtype], device=device)
            prompt_BT = prompt_of(architecture, (batch_size, size.prompt), device=device)
            seconds = _transformers_s(model, prompt_BT, num_tokens=steps)
        except torch.OutOfMemoryError:
            seconds = None
        free_memory(device)
        if seconds is not None:
            return {
                f"{subject}: transformers' batch": Figure(value=batch_size, unit=""),
                f"{subject}: transformers' rate": Figure(value=batch_size * steps / seconds, unit="tokens/s"),
            }
        batch_size //= 2
    return {}


def _transformers_s(model: HybridLM, prompt_BT: Tensor, *, num_tokens: int) -> float | None:
    """Return what `generate` takes, with the static cache where that works; none where neither does, which is said."""
    from benchmarks.transformers_qwen3 import qwen3_of, seconds_to_generate

    theirs = qwen3_of(model, attn_implementation="sdpa")
    for cache in ("static", None):
        try:
            return seconds_to_generate(theirs, prompt_BT, num_tokens=num_tokens, cache=cache)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Whatever their version stumbles over is theirs; ours is reported without it.
            sys.stderr.write(f"transformers' generate with the {cache or 'default'} cache failed: {error!r:.300}\n")
    return None


def benchmark(options: Options, *, names: Sequence[str]) -> Document:
    """Check small models, then time the large ones."""
    on_gpu = options.device == "cuda"
    torch.set_num_threads(NUM_THREADS)
    size = ON_GPU if on_gpu else ON_CPU
    figures: dict[str, Figure] = {}
    claims: list[Claim] = []
    small = small_models()
    for name in names:
        check_tokens(small[name], device=options.device)
    if QWEN in names:
        error = check_qwen3(small[QWEN], device=options.device)
        figures["Qwen3's logits against transformers', relative RMS"] = Figure(value=error, unit="")
    for name in names:
        architecture = load_reference(name) if on_gpu else small[name]
        figures |= at_batch_one(name, architecture, size, device=options.device)
        free_memory(options.device)
        needed = inference_memory(
            architecture, max_tokens=size.prompt + size.after_prompt, dtype=size.dtype, device=options.device
        )
        memory_bytes = torch.cuda.mem_get_info()[1] if on_gpu else 4 * needed.total
        more, judged = at_largest_batch(name, architecture, size, device=options.device, memory_bytes=memory_bytes)
        figures |= more
        claims += judged
    if on_gpu and FLASH in names:
        seconds = figures[f"{FLASH}, {size.generated} tokens: seconds"].value
        figures["next goal for Nemotron-Flash-1B"] = Figure(value=NEXT_MOST_S, unit="s")
        claims.insert(
            0, Claim.at_most(f"{FLASH}: seconds for {size.generated} tokens at batch 1", value=seconds, bound=MOST_S)
        )
    return Document(
        benchmark="decode",
        device=describe_device(options.device, num_threads=NUM_THREADS),
        versions=versions("torch", "triton", "transformers", "flash-linear-attention", "mamba-ssm"),
        figures=figures,
        claims=claims,
    )


def free_memory(device: DeviceName) -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def _now(model: HybridLM) -> float:
    if model.embedding.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark for both models, or for one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", choices=(FLASH, QWEN))
    parsed, rest = parser.parse_known_args(arguments)
    names = (FLASH, QWEN) if parsed.model is None else (parsed.model,)
    return main(
        partial(benchmark, names=names),
        description=f"Speed and memory of the decoder; --model {{{FLASH},{QWEN}}} runs one model.",
        devices=("cuda", "cpu"),
        arguments=rest,
    )


if __name__ == "__main__":
    sys.exit(command())
