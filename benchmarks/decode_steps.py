"""Our fused one-token steps against the chains of kernels that fla and mamba-ssm run between the same projections.

Both sides step copies whose states together exceed the L2 cache several times, one after another in one CUDA graph, so
that every step reads its state from memory as in a model; the graphs take turns. Outputs are compared with the torch
step first. On a CPU only that comparison is made, on small shapes in Triton's interpreter.
"""

import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

if any(argument.endswith("cpu") for argument in sys.argv):
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from operators.backends import BACKENDS
from operators.base import Operator
from operators.registry import build_operator
from search_spaces.dimensions import Dimensions
from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba2Spec, OperatorSpec

LETTERS: Final = ("d", "gd", "m2")
FASTER_BY: Final = 1.5
LARGEST_RELATIVE_RMS_ERROR: Final = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
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


def of_fla(operator: Any, spec: OperatorSpec, copy: Copy) -> Step | None:
    """Return the chain that fla's layer runs for one token, or none where it has none."""
    if isinstance(spec, Mamba2Spec) or BACKENDS["fla"].missing_package() is not None:
        return None
    from fla.modules.convolution import causal_conv1d_update
    from fla.modules.layernorm import rms_norm
    from fla.ops.delta_rule import fused_recurrent_delta_rule
    from fla.ops.gated_delta_rule import fused_recurrent_gated_delta_rule

    assert isinstance(spec, DeltaNetSpec | GatedDeltaNetSpec)
    is_gated = isinstance(spec, GatedDeltaNetSpec)
    batch, channels = copy.projected.shape[0], operator.widths[0]
    cache_BCW = torch.randn(batch, channels, spec.conv_width, device="cuda", dtype=copy.projected.dtype)
    norm, heads, keys = operator.norm, operator.spec.num_heads, spec.head_dim

    def step() -> object:
        qkv, beta, *rest = torch.split(copy.projected, operator.widths, dim=-1)
        convolved, _ = causal_conv1d_update(qkv[:, None], cache_BCW, None, operator.conv.weight, None, "silu")
        q, k, v = torch.split(convolved, [heads * keys, heads * keys, channels - 2 * heads * keys], dim=-1)
        q, k = (torch.unflatten(x, -1, (heads, keys)) for x in (q, k))
        v = torch.unflatten(v, -1, copy.state.carried.shape[1::2])
        arguments: dict[str, Any] = {
            "initial_state": copy.state.carried,
            "output_final_state": True,
            "use_qk_l2norm_in_kernel": True,
        }
        if is_gated:
            decay = -operator.A_log.float().exp() * F.softplus(rest[0].float() + operator.dt_bias)
            y, _ = fused_recurrent_gated_delta_rule(
                q, k, v, g=decay[:, None], beta=beta.sigmoid()[:, None], **arguments
            )
        else:
            y, _ = fused_recurrent_delta_rule(q, k, v, beta=beta.sigmoid()[:, None], **arguments)
        y = rms_norm(y, norm.weight, None, eps=norm.eps).flatten(1)
        return y * F.silu(rest[-1]) if is_gated else y

    return step


def of_mamba_ssm(operator: Any, spec: OperatorSpec, copy: Copy) -> Step | None:
    """Return the chain that mamba-ssm's layer runs for one token, or none where it has none."""
    if not isinstance(spec, Mamba2Spec) or BACKENDS["mamba_ssm"].missing_package() is not None:
        return None
    from causal_conv1d import causal_conv1d_update
    from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update

    mixer = operator.mixer
    batch = copy.projected.shape[0]
    history_BCW = torch.randn(batch, mixer.widths[1], spec.conv_width, device="cuda", dtype=copy.projected.dtype)
    A_HPN = (-mixer.A_log.float().exp())[:, None, None].expand(-1, spec.head_dim, spec.state_size)
    dt_bias_HP, D_HP = (x[:, None].expand(-1, spec.head_dim) for x in (mixer.dt_bias, mixer.D))

    def step() -> object:
        z, xbc, dt = torch.split(copy.projected, mixer.widths, dim=-1)
        convolved = causal_conv1d_update(xbc, history_BCW, mixer.conv.weight, mixer.conv.bias, "silu")
        x, B, C = torch.split(convolved, [spec.inner_size, mixer.group_width, mixer.group_width], dim=-1)
        y = selective_state_update(
            copy.state.carried,
            torch.unflatten(x, -1, (spec.num_heads, -1)),
            dt[..., None].expand(-1, -1, spec.head_dim),
            A_HPN,
            torch.unflatten(B, -1, (spec.num_groups, -1)),
            torch.unflatten(C, -1, (spec.num_groups, -1)),
            D_HP,
            z=None,
            dt_bias=dt_bias_HP,
            dt_softplus=True,
        )
        group = spec.inner_size // mixer.norm.num_groups
        norm = mixer.norm
        return rmsnorm_fn(y.flatten(1), norm.weight, None, z=z, eps=norm.eps, group_size=group, norm_before_gate=False)

    return step


def check(spec: OperatorSpec, *, width: int, device: str, dtype: torch.dtype) -> float:
    """Compare a few steps with the torch step; return the largest relative RMS error.

    Raises:
        IncorrectError: it is too large; nothing is timed then.
    """
    fused, plain = (
        _built(spec, width=width, device=device, dtype=dtype, backend=name) for name in ("triton", "reference")
    )
    states = [_random_state(operator, device=device, dtype=dtype) for operator in (fused, plain)]
    largest = 0.0
    for x_BD in torch.randn(CHECKED_STEPS, 1, width, generator=torch.Generator().manual_seed(1)).to(device, dtype):
        mine, expected = fused.step(x_BD, states[0]).float(), plain.step(x_BD, states[1]).float()
        largest = max(largest, float((mine - expected).square().mean().sqrt() / expected.square().mean().sqrt()))
    if not largest <= LARGEST_RELATIVE_RMS_ERROR[dtype]:
        raise IncorrectError(
            f"The fused step of {type(spec).__name__} at width {width} must be the torch step within "
            f"{LARGEST_RELATIVE_RMS_ERROR[dtype]:g} relative RMS; got {largest:.2e}. No speed is reported for it."
        )
    return largest


def time_sides(spec: OperatorSpec, *, width: int) -> dict[str, list[float]]:
    """Return microseconds a step of every side that can run, at batch 1 in bfloat16."""
    operator: Any = _built(spec, width=width, device="cuda", dtype=torch.bfloat16, backend="triton")
    state_bytes = _random_state(operator, device="cuda", dtype=torch.bfloat16).num_bytes
    cache_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    channels = operator.in_projection.out_features
    copies = [
        Copy(
            projected=torch.randn(1, channels, device="cuda", dtype=torch.bfloat16),
            state=_random_state(operator, device="cuda", dtype=torch.bfloat16),
        )
        for _ in range(-(-CACHE_MULTIPLE * cache_bytes // state_bytes))
    ]
    sides: dict[str, list[Step]] = {"ours": [between_projections(operator, copy) for copy in copies]}
    for name, chain in (("fla", of_fla), ("mamba_ssm", of_mamba_ssm)):
        steps = [step for copy in copies if (step := chain(operator, spec, copy)) is not None]
        if steps:
            sides[name] = steps
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
            for name in times.keys() - {"ours"}:
                ratio = statistics.median(b / a for a, b in zip(times["ours"], times[name], strict=True))
                figures[f"{subject}: {name} / ours"] = Figure(value=ratio, unit="×")
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
