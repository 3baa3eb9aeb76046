"""Our fused one-token steps against the chains of kernels that fla's and mamba-ssm's layers run for the same.

What lies between the projections is timed; their chains are in `decode_chains.py`. Both sides step copies whose states
together exceed the L2 cache several times, one after another in one CUDA graph, so that every step reads its state from
memory as in a model; the graphs take turns. Outputs of every side are compared with the torch step first. On a CPU only
ours is compared, on small shapes in Triton's interpreter.
"""

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

if any(argument.endswith("cpu") for argument in sys.argv):
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

import torch
from torch import Tensor

from benchmarks.decode_chains import Chain, FlaChain, MambaChain
from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from operators.backends import BACKENDS
from operators.base import Operator
from operators.registry import build_operator
from search_spaces.dimensions import Dimensions
from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba2Spec, OperatorSpec

LETTERS: Final = ("d", "gd", "m2")
FASTER_BY: Final = 1.5
LARGEST_RELATIVE_RMS_ERROR: Final = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
LARGEST_FOREIGN_ERROR: Final = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Chains of kernels round between them; a kernel with another option would be off by far more."""

JOINED: Final = "fla, convolutions joined"
"""A side that is shown and not claimed: fla's layers do not run so."""

CACHE_MULTIPLE: Final = 4
SAMPLES: Final = 200
CHECKED_STEPS: Final = 3

Step = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One state, and what a step takes besides it."""

    projected: Tensor
    """[B, C], what the in-projection gave."""

    state: Any


def between_projections(operator: Any, copy: Copy) -> Step:
    """Return our step without the two projections, which both sides share."""
    return lambda: _without_projections(operator, copy.projected, copy.state)


def foreign_chains(operator: Any, spec: OperatorSpec, copy: Copy) -> dict[str, Chain]:
    """Return what others run for the same, by side; none of it runs on a CPU."""
    if copy.projected.device.type != "cuda":
        return {}
    if isinstance(spec, Mamba2Spec):
        if BACKENDS["mamba_ssm"].missing_package() is not None or find_spec("causal_conv1d") is None:
            return {}
        return {"mamba_ssm": MambaChain(operator, spec, projected_BC=copy.projected, state=copy.state)}
    if BACKENDS["fla"].missing_package() is not None:
        return {}
    assert isinstance(spec, DeltaNetSpec | GatedDeltaNetSpec)
    return {
        name: FlaChain(operator, spec, projected_BC=copy.projected, state=copy.state, joins_convolutions=joins)
        for name, joins in (("fla", False), (JOINED, True))
    }


def check(spec: OperatorSpec, *, width: int, device: str, dtype: torch.dtype) -> float:
    """Compare a few steps with the torch step; return the largest relative RMS error of ours.

    Whole steps are compared, and what is timed: ours and others' chains between the projections.

    Raises:
        IncorrectError: one is too large; nothing is timed then.
    """
    fused, plain = (
        _built(spec, width=width, device=device, dtype=dtype, backend=name) for name in ("triton", "reference")
    )
    states = [_random_state(operator, device=device, dtype=dtype) for operator in (fused, plain)]
    largest = 0.0
    for x_BD in torch.randn(CHECKED_STEPS, 1, width, generator=torch.Generator().manual_seed(1)).to(device, dtype):
        largest = max(largest, relative_error(fused.step(x_BD, states[0]), plain.step(x_BD, states[1])))
    _require(largest, LARGEST_RELATIVE_RMS_ERROR[dtype], side="fused", spec=spec, width=width)
    for name, error in chain_errors(spec, width=width, device=device, dtype=dtype).items():
        bound = LARGEST_RELATIVE_RMS_ERROR[dtype] if name == "ours" else LARGEST_FOREIGN_ERROR[dtype]
        _require(error, bound, side=name, spec=spec, width=width)
    return largest


def chain_errors(spec: OperatorSpec, *, width: int, device: str, dtype: torch.dtype) -> dict[str, float]:
    """Return how far every side's outputs between the projections are from the torch step's, by side."""
    ours, plain = (
        _built(spec, width=width, device=device, dtype=dtype, backend=name) for name in ("triton", "reference")
    )
    shape = (CHECKED_STEPS, 1, _projected_channels(ours))
    tokens = list(torch.randn(shape, generator=torch.Generator().manual_seed(3)).to(device, dtype))
    states = [_random_state(operator, device=device, dtype=dtype) for operator in (ours, plain)]
    # Chains copy what they move on, so they start where ours does.
    chains = foreign_chains(ours, spec, Copy(projected=tokens[0], state=states[0]))
    errors = dict.fromkeys(("ours", *chains), 0.0)
    for index, projected_BC in enumerate(tokens):
        expected = _without_projections(plain, projected_BC, states[1])
        errors["ours"] = max(
            errors["ours"], relative_error(_without_projections(ours, projected_BC, states[0]), expected)
        )
        for name, chain in chains.items():
            if index:
                chain.advance(projected_BC)
            with torch.no_grad():
                errors[name] = max(errors[name], relative_error(chain(), expected))
    return errors


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the root mean square of the difference over that of what is expected."""
    difference = found.float() - expected.float()
    return float(difference.square().mean().sqrt() / expected.float().square().mean().sqrt())


def _require(error: float, bound: float, *, side: str, spec: OperatorSpec, width: int) -> None:
    if not error <= bound:
        raise IncorrectError(
            f"The {side} step of {type(spec).__name__} at width {width} must be the torch step within {bound:g} "
            f"relative RMS; got {error:.2e}. No speed is reported for it."
        )


def time_sides(spec: OperatorSpec, *, width: int) -> dict[str, list[float]]:
    """Return microseconds a step of every side that can run, at batch 1 in bfloat16."""
    operator: Any = _built(spec, width=width, device="cuda", dtype=torch.bfloat16, backend="triton")
    state_bytes = _random_state(operator, device="cuda", dtype=torch.bfloat16).num_bytes
    cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    channels = _projected_channels(operator)
    copies = [
        Copy(
            projected=torch.randn(1, channels, device="cuda", dtype=torch.bfloat16),
            state=_random_state(operator, device="cuda", dtype=torch.bfloat16),
        )
        for _ in range(-(-CACHE_MULTIPLE * cache_bytes // state_bytes))
    ]
    sides: dict[str, list[Step]] = {"ours": [between_projections(operator, copy) for copy in copies]}
    for copy in copies:
        for name, chain in foreign_chains(operator, spec, copy).items():
            sides.setdefault(name, []).append(chain)
    replays = {name: captured(steps) for name, steps in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in replays}
    for _ in range(SAMPLES):
        for name, replay in replays.items():
            times[name].append(elapsed_us(replay) / len(copies))
    return times


def benchmark(options: Options) -> Document:
    """Check every step; time it where there is a GPU."""
    on_gpu = options.device == "cuda"
    widths: Sequence[int] = (1024, 2048, 3072) if on_gpu else (64,)
    dtype = torch.bfloat16 if on_gpu else torch.float32
    figures: dict[str, Figure] = {}
    errors: list[float] = []
    ratios: dict[str, list[float]] = {}
    for width in widths:
        for letter in LETTERS:
            spec = Dimensions().operator(letter, hidden_size=width)
            errors.append(check(spec, width=width, device=options.device, dtype=dtype))
            if not on_gpu:
                continue
            times = time_sides(spec, width=width)
            subject = f"{letter}, width {width}"
            for name, taken in times.items():
                figures[f"{subject}: {name}"] = Figure(value=statistics.median(taken), unit="µs")
            for name in [name for name in times if name != "ours"]:
                ratio = statistics.median(b / a for a, b in zip(times["ours"], times[name], strict=True))
                figures[f"{subject}: {name} / ours"] = Figure(value=ratio, unit="×")
                if name != JOINED:
                    ratios.setdefault(name, []).append(ratio)
    absent = [name for name in ("fla", "mamba_ssm") if on_gpu and name not in ratios]
    for name in absent:
        figures[f"not compared with {name}, which is absent"] = Figure(value=0, unit="")
    bound = LARGEST_RELATIVE_RMS_ERROR[dtype]
    return Document(
        benchmark="decode_steps",
        device=describe_device(options.device, num_threads=torch.get_num_threads()),
        versions=versions("torch", "triton", "flash-linear-attention", "mamba-ssm", "causal-conv1d"),
        figures=figures,
        claims=[
            Claim.at_most("every fused step is the torch step (largest relative RMS)", value=max(errors), bound=bound),
            *(
                Claim.at_least(f"faster than {name}'s chain (least median ratio)", value=min(found), bound=FASTER_BY)
                for name, found in ratios.items()
            ),
        ],
    )


def _projected_channels(operator: Any) -> int:
    channels: int = operator.in_projection.out_features
    return channels


def _without_projections(operator: Any, projected_BC: Tensor, state: Any) -> Tensor:
    in_projection, output = operator.in_projection, operator.output
    try:
        operator.in_projection = operator.output = torch.nn.Identity()
        mixed: Tensor = operator.step(projected_BC, state)
        return mixed
    finally:
        operator.in_projection, operator.output = in_projection, output


def _built(spec: OperatorSpec, *, width: int, device: str, dtype: torch.dtype, backend: str) -> Operator[Any]:
    return build_operator(spec, hidden_size=width, norm_eps=1e-6, backend=backend).to(device, dtype)


def _random_state(operator: Operator[Any], *, device: str, dtype: torch.dtype) -> Any:
    state = operator.new_state(batch_size=1, max_tokens=CHECKED_STEPS, device=device, dtype=dtype)
    generator = torch.Generator().manual_seed(2)
    for tensor in state.tensors():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return state


def captured(steps: Sequence[Step]) -> Step:
    """Return the replay of steps captured one after another in one CUDA graph."""

    def run() -> None:
        for step in steps:
            step()

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


def elapsed_us(run: Step) -> float:
    """Return the microseconds a run takes on the GPU."""
    # torch leaves the constructor unannotated.
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    run()
    end.record()
    end.synchronize()
    return 1000 * float(start.elapsed_time(end))


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Fused one-token steps against fla and mamba-ssm.", devices=("cuda", "cpu")))
