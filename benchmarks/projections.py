"""Our fused projections of one token against torch's chain of norm, product and sum or activation.

Both sides go through copies of a matrix that together exceed the L2 cache several times, one after another in one CUDA
graph, so that every matrix is read from memory as in a model; the graphs take turns. Bytes a second count the matrix
alone. Results are compared with the chain in float64 first; on a CPU only that is done, on small shapes in Triton's
interpreter.
"""

import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

if any(argument.endswith("cpu") for argument in sys.argv):
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

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
from operators.ffn.reference import activate
from operators.fused_projection import gated, gated_reference, projected, projected_reference

EPS: Final = 1e-6
LARGEST_RELATIVE_RMS_ERROR: Final = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
"""Against float64: a few roundings of numbers of 11 and of 8 bits."""

CACHE_MULTIPLE: Final = 4
SAMPLES: Final = 100
NEVER_SLOWER: Final = 1.0
LEAST_SHARE_OF_PEAK: Final = 0.7
LARGE_BYTES: Final = 16 * 2**20
"""From here on a matrix takes long enough to read that the start of a kernel is a small part."""

Call = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One product of a model's step."""

    rows: int
    """Of the matrix: outputs, or gates and their other halves."""

    columns: int
    is_normed: bool = False
    has_residual: bool = False
    is_gated: bool = False

    @property
    def num_outputs(self) -> int:
        """Numbers a token that come out."""
        return self.rows // 2 if self.is_gated else self.rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copy:
    """One matrix, and what a call takes besides it."""

    x: Tensor
    """[B, D], the inputs."""

    weight: Tensor
    norm_weight: Tensor | None
    residual: Tensor | None

    def to(self, dtype: torch.dtype) -> "Copy":
        """Return the same numbers in another dtype."""
        norm, residual = (None if x is None else x.to(dtype) for x in (self.norm_weight, self.residual))
        return Copy(x=self.x.to(dtype), weight=self.weight.to(dtype), norm_weight=norm, residual=residual)


def cases(width: int, *, vocab_size: int) -> Mapping[str, Case]:
    """Return the products of a model of this width, by name."""
    return {
        "out of a mixer": Case(rows=width, columns=width, has_residual=True),
        "into a mixer": Case(rows=3 * width, columns=width, is_normed=True),
        "gate and up": Case(rows=6 * width, columns=width, is_normed=True, is_gated=True),
        "down": Case(rows=width, columns=3 * width, has_residual=True),
        "head": Case(rows=vocab_size, columns=width, is_normed=True),
    }


def fused(case: Case, copy: Copy) -> Tensor:
    """Return our one launch."""
    if case.is_gated:
        return gated(copy.x, copy.weight, norm_weight_D=copy.norm_weight, eps=EPS, activation="swiglu")
    return projected(copy.x, copy.weight, norm_weight_D=copy.norm_weight, eps=EPS, residual_BO=copy.residual)


def chain(case: Case, copy: Copy) -> Tensor:
    """Return what a layer runs without fusion: torch's norm kernel, the product, what follows."""
    norm = copy.norm_weight
    x_BD = copy.x if norm is None else F.rms_norm(copy.x, norm.shape, norm, EPS)
    y_BO = F.linear(x_BD, copy.weight)
    if case.is_gated:
        return activate(y_BO, activation="swiglu")
    return y_BO if copy.residual is None else copy.residual + y_BO


def check(case: Case, copy: Copy) -> float:
    """Compare our result with the chain in float64; return the relative RMS error.

    Raises:
        IncorrectError: it is too large; nothing is timed then.
    """
    wide = copy.to(torch.float64)
    if case.is_gated:
        expected = gated_reference(wide.x, wide.weight, norm_weight_D=wide.norm_weight, eps=EPS, activation="swiglu")
    else:
        expected = projected_reference(
            wide.x, wide.weight, norm_weight_D=wide.norm_weight, eps=EPS, residual_BO=wide.residual
        )
    difference = fused(case, copy).double() - expected
    error = float(difference.square().mean().sqrt() / expected.square().mean().sqrt())
    bound = LARGEST_RELATIVE_RMS_ERROR[copy.x.dtype]
    # `not <=` and not `>`: a NaN is incorrect.
    if not error <= bound:
        raise IncorrectError(
            f"The fused {case} must be the chain within {bound:g} relative RMS; got {error:.2e}. "
            "No speed is reported for it."
        )
    return error


def time_sides(case: Case, *, batch: int) -> dict[str, list[float]]:
    """Return microseconds a call of both sides in bfloat16, their samples taken in turns."""
    first = _random_copy(case, batch=batch, device="cuda", dtype=torch.bfloat16, seed=1)
    cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    num_copies = max(2, -(-CACHE_MULTIPLE * cache_bytes // first.weight.nbytes))
    copies = [first] + [
        _random_copy(case, batch=batch, device="cuda", dtype=torch.bfloat16, seed=seed)
        for seed in range(2, num_copies + 1)
    ]
    replays = {
        name: _captured([partial(side, case, copy) for copy in copies])
        for name, side in (("fused", fused), ("torch", chain))
    }
    times: dict[str, list[float]] = {name: [] for name in replays}
    for _ in range(SAMPLES):
        for name, replay in replays.items():
            times[name].append(_elapsed_us(replay) / num_copies)
    return times


def benchmark(options: Options) -> Document:
    """Check every product; time it where there is a GPU."""
    on_gpu = options.device == "cuda"
    widths: Sequence[int] = ((1024, 2048, 3072) if options.full else (2048,)) if on_gpu else (72,)
    batches: Sequence[int] = (1, 2, 4, 8, 16) if on_gpu else (1, 3, 16)
    dtype = torch.bfloat16 if on_gpu else torch.float16
    peak = _peak_bytes_a_second() if on_gpu else 0.0
    figures: dict[str, Figure] = {}
    errors: list[float] = []
    ratios: list[float] = []
    shares: list[float] = []
    for width in widths:
        for name, case in cases(width, vocab_size=131072 if on_gpu else 130).items():
            for batch in batches:
                copy = _random_copy(case, batch=batch, device=options.device, dtype=dtype, seed=1)
                errors.append(check(case, copy))
                subject = f"{name}, {case.rows} x {case.columns}, batch {batch}"
                if not on_gpu:
                    figures[f"{subject}: relative RMS error"] = Figure(value=errors[-1], unit="")
                    continue
                times = time_sides(case, batch=batch)
                ratio = statistics.median(b / a for a, b in zip(times["fused"], times["torch"], strict=True))
                for side, taken in times.items():
                    median = statistics.median(taken)
                    figures[f"{subject}: {side}"] = Figure(value=median, unit="µs")
                    rate = copy.weight.nbytes / (1e-6 * median)
                    figures[f"{subject}: {side} reads"] = Figure(value=1e-9 * rate, unit="GB/s")
                    if side == "fused":
                        figures[f"{subject}: of the peak"] = Figure(value=100 * rate / peak, unit="%")
                        if copy.weight.nbytes >= LARGE_BYTES:
                            shares.append(rate / peak)
                figures[f"{subject}: torch / fused"] = Figure(value=ratio, unit="×")
                ratios.append(ratio)
    if on_gpu:
        figures["peak of the memory"] = Figure(value=1e-9 * peak, unit="GB/s")
    bound = LARGEST_RELATIVE_RMS_ERROR[dtype]
    claims = [Claim.at_most("every product is the chain (largest relative RMS)", value=max(errors), bound=bound)]
    if ratios:
        claims.append(Claim.at_least("never slower than torch (least ratio)", value=min(ratios), bound=NEVER_SLOWER))
    if shares:
        claims.append(
            Claim.at_least(
                "matrices of 16 MiB and more are read at this share of the memory's peak (least)",
                value=min(shares),
                bound=LEAST_SHARE_OF_PEAK,
            )
        )
    return Document(
        benchmark="projections",
        device=describe_device(options.device, num_threads=torch.get_num_threads()),
        versions=versions("torch", "triton"),
        figures=figures,
        claims=claims,
    )


def _random_copy(case: Case, *, batch: int, device: DeviceName, dtype: torch.dtype, seed: int) -> Copy:
    generator = torch.Generator(device).manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    return Copy(
        x=draw(batch, case.columns),
        weight=draw(case.rows, case.columns).mul_(case.columns**-0.5),
        norm_weight=draw(case.columns) if case.is_normed else None,
        residual=draw(batch, case.num_outputs) if case.has_residual else None,
    )


def _peak_bytes_a_second() -> float:
    device = torch.cuda.get_device_properties(0)
    # Two transfers a clock, in kHz; the bus is in bits.
    return 2e3 * device.memory_clock_rate * device.memory_bus_width / 8


def _captured(calls: Sequence[Call]) -> Call:
    def run() -> None:
        for call in calls:
            call()

    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.no_grad():
        run()
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        run()
    graph.replay()
    return graph.replay


def _elapsed_us(run: Call) -> float:
    # torch leaves the constructor unannotated.
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return 1000 * float(start.elapsed_time(end))


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Fused projections against torch's chain.", devices=("cuda", "cpu")))
