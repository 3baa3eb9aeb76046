"""The backends of recurrent mixers against each other: `auto` must not lose to what one could ask for by name.

Whole layers at the default dimensions of Nemotron-Flash, projections included, in bfloat16, forward and with the
backward pass; single tokens in a CUDA graph. Outputs and gradients are compared with the float64 reference first, at a
length that is feasible for it (it walks token by token, so it is timed at no other; `chunked` stands for our torch
code). Then all backends take turns. fla's own layers of the same dimensions run along, with weights of their own.
Attention is left out: it has one fast backend.

A single token re-reads the same weights from the L2 cache here: its times compare backends and predict no decoding.
On a CPU this is a dry run: the same code on small shapes, correctness only.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

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
from operators.backends import AUTO, BACKENDS, REFERENCE
from operators.base import Operator
from operators.context import SequenceContext
from operators.registry import REGISTRY, build_operator
from search_spaces.dimensions import Dimensions
from search_spaces.specs import DeltaNetSpec, GatedDeltaNetSpec, Mamba2Spec, OperatorSpec

MIXERS: Final = ("d", "gd", "m2", "m1")
"""Letters; those that no layer computes are left out."""

LARGEST_RELATIVE_RMS_ERROR: Final = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
NEVER_SLOWER: Final = 1.03
CHECKED_TOKENS: Final = 130
NUMBERS_A_HEAD: Final = 128
"""Parameters of at most so many numbers (decays, step sizes) sum their gradient over all channels of a head."""

CANCELLATION: Final = 5.0
"""How much those sums magnify rounding, that of the float32 reference too: they are much smaller than their terms."""

NORM_EPS: Final = 1e-6
THEIRS: Final = "fla's layer"

Timed = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many tokens at once; one token a sequence is a step."""

    batch: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.batch}×{self.tokens}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one device is asked."""

    device: DeviceName
    dtype: torch.dtype
    widths: Sequence[int]
    shapes: Sequence[Shape]
    samples: int


SETTINGS: Final[Mapping[DeviceName, Setting]] = {
    "cuda": Setting(
        device="cuda",
        dtype=torch.bfloat16,
        widths=(1024, 2048, 3072),
        shapes=(Shape(batch=1, tokens=1), Shape(batch=8, tokens=4096), Shape(batch=1, tokens=32768)),
        samples=15,
    ),
    "cpu": Setting(
        device="cpu",
        dtype=torch.float32,
        widths=(64,),
        shapes=(Shape(batch=1, tokens=1), Shape(batch=2, tokens=65), Shape(batch=1, tokens=130)),
        samples=2,
    ),
}


def mixers() -> tuple[str, ...]:
    """Return the letters of the mixers that have a layer."""
    letters = {getattr(cls, "letter", None) for cls in REGISTRY.spec_classes()}
    return tuple(letter for letter in MIXERS if letter in letters)


def able(spec: OperatorSpec, setting: Setting, *, is_step: bool) -> tuple[str, ...]:
    """Return the backends of a mixer that can run in a setting."""
    layer_class = REGISTRY.layer_class(type(spec))
    offered = layer_class.step_backends if is_step else layer_class.sequence_backends
    dtype = str(setting.dtype).removeprefix("torch.")
    return tuple(
        name
        for name in offered
        if BACKENDS[name].missing_package() is None
        and BACKENDS[name].obstacle(device=setting.device, dtype=dtype) is None
    )


def build(spec: OperatorSpec, setting: Setting, *, width: int, backend: str) -> Operator[Any]:
    """Return a layer with the weights every backend gets."""
    with torch.device(setting.device):
        return build_operator(spec, hidden_size=width, norm_eps=NORM_EPS, backend=backend).to(setting.dtype)


def random_input(shape: Shape, setting: Setting, *, width: int) -> Tensor:
    """Return normal inputs [B, T, D]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape.batch, shape.tokens, width, generator=generator).to(setting.device, setting.dtype)


def check(spec: OperatorSpec, setting: Setting, *, width: int, backend: str, is_step: bool) -> float:
    """Compare outputs and every gradient; return the larger error of output and input gradient, relative RMS.

    The truth is the reference with the same rounded weights in float64; steps, whose states are float32, in that.

    Raises:
        IncorrectError: it is too large; nothing is timed then.
    """
    layer = build(spec, setting, width=width, backend=backend)
    reference = build(spec, setting, width=width, backend=REFERENCE).double()
    x_BTD = random_input(Shape(batch=2, tokens=CHECKED_TOKENS), setting, width=width)
    if is_step:
        found = {"output": (_steps(layer, x_BTD[:, :8]), _steps(reference.float(), x_BTD[:, :8].float()))}
    else:
        mine, theirs = _outputs_and_gradients(layer, x_BTD), _outputs_and_gradients(reference, x_BTD.double())
        found = {name: (mine[name], expected) for name, expected in theirs.items()}
    largest = 0.0
    for name, (actual, expected) in found.items():
        error = float((actual.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt())
        bound = LARGEST_RELATIVE_RMS_ERROR[setting.dtype]
        if name not in ("output", "input") and expected.numel() <= NUMBERS_A_HEAD:
            bound *= CANCELLATION
        # `not <=` and not `>`: a NaN is incorrect.
        if not error <= bound:
            raise IncorrectError(
                f"{type(spec).__name__} at width {width}, backend {backend}: {name} must agree with the reference "
                f"within {bound:g} relative RMS; got {error:.2e}. No speed is reported for a wrong result."
            )
        if name in ("output", "input"):
            largest = max(largest, error)
    return largest


def runs(spec: OperatorSpec, setting: Setting, *, width: int, shape: Shape, has_backward: bool) -> dict[str, Timed]:
    """Return what takes turns: `auto`, the backends by name that can run at this length, and fla's own layer."""
    is_step = shape.tokens == 1
    named = [name for name in able(spec, setting, is_step=is_step) if is_step or _is_feasible(name, shape)]
    x_BTD = random_input(shape, setting, width=width)
    found: dict[str, Timed] = {}
    for backend in (AUTO, *named):
        layer = build(spec, setting, width=width, backend=backend)
        if is_step:
            state = layer.new_state(batch_size=shape.batch, max_tokens=4096, device=setting.device, dtype=setting.dtype)
            found[backend] = _captured(partial(layer.step, x_BTD[:, 0], state), setting.device)
        else:
            forward = partial(layer.forward, context=SequenceContext(start=0))
            found[backend] = _sequence_run(layer, forward, x_BTD, has_backward=has_backward)
    theirs = None if is_step else their_layer(spec, setting, width=width)
    if theirs is not None:
        found[THEIRS] = _sequence_run(theirs, lambda x: theirs(x)[0], x_BTD, has_backward=has_backward)
    return found


def their_layer(spec: OperatorSpec, setting: Setting, *, width: int) -> Any:
    """Return fla's own layer of the same dimensions, or none where it has none or cannot run."""
    if setting.device != "cuda" or BACKENDS["fla"].missing_package() is not None:
        return None
    from fla import layers

    with torch.device(setting.device):
        match spec:
            case DeltaNetSpec():
                expand = spec.num_heads * spec.head_dim / width
                built = layers.DeltaNet(
                    hidden_size=width,
                    expand_k=expand,
                    expand_v=expand,
                    num_heads=spec.num_heads,
                    use_gate=spec.output_gate,
                    conv_size=spec.conv_width,
                )
            case GatedDeltaNetSpec():
                built = layers.GatedDeltaNet(
                    hidden_size=width,
                    head_dim=spec.head_dim,
                    num_heads=spec.num_heads,
                    num_v_heads=spec.value_heads,
                    expand_v=spec.value_dim / spec.head_dim,
                    use_gate=spec.output_gate,
                    conv_size=spec.conv_width,
                )
            case Mamba2Spec() if spec.inner_size % width == 0:
                built = layers.Mamba2(
                    num_heads=spec.num_heads,
                    head_dim=spec.head_dim,
                    hidden_size=width,
                    state_size=spec.state_size,
                    expand=spec.inner_size // width,
                    n_groups=spec.num_groups,
                    conv_kernel=spec.conv_width,
                )
            case _:
                return None
    return built.to(setting.dtype)


def take_turns(every: Mapping[str, Timed], *, samples: int, device: DeviceName) -> dict[str, list[float]]:
    """Return milliseconds of each, in turns that start at another one every time."""
    names = list(every)
    milliseconds: dict[str, list[float]] = {name: [] for name in names}
    warm_up = 2
    for turn in range(warm_up + samples):
        start = turn % len(names)
        for name in (*names[start:], *names[:start]):
            started = _now(device)
            every[name]()
            if turn >= warm_up:
                milliseconds[name].append(1e3 * (_now(device) - started))
    return milliseconds


def auto_over_best(medians: Mapping[str, float]) -> float:
    """Return how many times as long `auto` takes as the fastest other one."""
    return medians[AUTO] / min(value for name, value in medians.items() if name != AUTO)


def benchmark(options: Options, *, letters: Sequence[str]) -> Document:
    """Check, then time, every mixer at every width and shape."""
    setting = SETTINGS[options.device]
    figures: dict[str, Figure] = {}
    claims: list[Claim] = []
    for letter in letters:
        worst, ratios = 0.0, []
        for width in setting.widths:
            spec = Dimensions().operator(letter, hidden_size=width)
            for is_step in (False, True):
                for backend in able(spec, setting, is_step=is_step):
                    worst = max(worst, check(spec, setting, width=width, backend=backend, is_step=is_step))
            for shape in setting.shapes:
                for has_backward in (False,) if shape.tokens == 1 else (False, True):
                    subject = f"{letter}, width {width}, {shape} tokens, {'both passes' if has_backward else 'forward'}"
                    every = runs(spec, setting, width=width, shape=shape, has_backward=has_backward)
                    times = take_turns(every, samples=setting.samples, device=options.device)
                    del every
                    figures |= _figures(subject, times)
                    ratios.append(auto_over_best({name: statistics.median(taken) for name, taken in times.items()}))
        bound = LARGEST_RELATIVE_RMS_ERROR[setting.dtype]
        claims.append(
            Claim.at_most(
                f"{letter}: output and input gradient of every backend are those of the reference (relative RMS)",
                value=worst,
                bound=bound,
            )
        )
        if options.device == "cuda":
            claims.append(
                Claim.at_most(
                    f"{letter}: auto is never slower than the best by name or fla's layer (largest median ratio)",
                    value=max(ratios),
                    bound=NEVER_SLOWER,
                )
            )
    return Document(
        benchmark=f"backends {' '.join(letters)}",
        device=describe_device(options.device, num_threads=torch.get_num_threads()),
        versions=versions("torch", "triton", "flash-linear-attention", "mamba-ssm", "causal-conv1d"),
        figures=figures,
        claims=claims,
    )


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark for all mixers, or for one, which keeps a run on a GPU under nine minutes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--mixer", choices=mixers())
    parsed, rest = parser.parse_known_args(arguments)
    letters = mixers() if parsed.mixer is None else (parsed.mixer,)
    return main(
        partial(benchmark, letters=letters),
        description=f"Backends against each other; --mixer {{{','.join(mixers())}}} runs one mixer.",
        devices=("cuda", "cpu"),
        arguments=rest,
    )


def _is_feasible(backend: str, shape: Shape) -> bool:
    """Whether a backend can run a sequence of that length; the reference takes a step a token."""
    return backend != REFERENCE or shape.tokens <= CHECKED_TOKENS


def _sequence_run(
    module: torch.nn.Module, forward: Callable[[Tensor], Tensor], x_BTD: Tensor, *, has_backward: bool
) -> Timed:
    if not has_backward:
        return torch.no_grad()(partial(forward, x_BTD))
    leaves = (x_BTD.detach().clone().requires_grad_(), *module.parameters())
    weights_BTD = torch.ones_like(x_BTD)

    def both() -> object:
        return torch.autograd.grad(forward(leaves[0]), leaves, weights_BTD)

    return both


def _captured(step: Timed, device: DeviceName) -> Timed:
    if device == "cpu":
        return step
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _steps(layer: Operator[Any], x_BTD: Tensor) -> Tensor:
    batch, tokens, _ = x_BTD.shape
    state = layer.new_state(batch_size=batch, max_tokens=tokens, device=x_BTD.device, dtype=x_BTD.dtype)
    return torch.stack([layer.step(x_BD, state) for x_BD in x_BTD.unbind(1)], dim=1)


def _outputs_and_gradients(layer: Operator[Any], x_BTD: Tensor) -> dict[str, Tensor]:
    x = x_BTD.detach().clone().requires_grad_()
    y = layer(x, context=SequenceContext(start=0))
    weights = torch.linspace(-1, 2, y.numel(), device=y.device, dtype=torch.float64).reshape_as(y).sin()
    grads = torch.autograd.grad((y.to(weights.dtype) * weights).sum(), (x, *layer.parameters()))
    return dict(zip(("output", "input", *dict(layer.named_parameters())), (y.detach(), *grads), strict=True))


def _figures(subject: str, times: Mapping[str, Sequence[float]]) -> dict[str, Figure]:
    found = {}
    for name, taken in times.items():
        deciles = statistics.quantiles(taken, n=10)
        found[f"{subject}: {name}"] = Figure(value=statistics.median(taken), unit="ms")
        found[f"{subject}: {name} p20"] = Figure(value=deciles[1], unit="ms")
        found[f"{subject}: {name} p80"] = Figure(value=deciles[7], unit="ms")
    return found


def _now(device: DeviceName) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(command())
