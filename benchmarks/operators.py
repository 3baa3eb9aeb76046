"""Our operators against transformers' torch code: forward and backward, same shapes, same process.

Outputs and gradients are compared first; a difference ends the run before anything is timed. Both sides take turns, and
the figure is the ratio of the two times of one turn, so that a noisy machine disturbs both alike. Kernels written in
Triton or CUDA (fla, mamba-ssm) are not compared here, even where they are installed.
"""

import inspect
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
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
from benchmarks.operator_layers import KINDS, layer_pair
from operators.deltanet import chunked as deltanet
from operators.mamba2 import chunked as mamba2
from search_spaces.errors import UnavailableError

LARGEST_RELATIVE_RMS_ERROR: Final = 1e-5
NEVER_SLOWER: Final = 1.0
AS_FAST: Final = 0.95
"""For layers that are the same matrix products and the same `scaled_dot_product_attention` on both sides, whose ratio
is 1 but for noise."""

SAME_CALLS: Final = ("attention", "windowed attention", "ffn")
NUM_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One computation in two implementations, each returning the output for the leaves it closes over."""

    name: str
    leaves: Mapping[str, tuple[Tensor, Tensor]]
    """Ours and theirs, holding the same values: inputs and parameters to differentiate."""

    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]

    parameters: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = ((), ())
    """Further leaves of ours and of theirs, divided differently: their gradients are timed as well."""


def scan_case(*, batch: int, tokens: int, heads: int, head_dim: int, groups: int, state: int, device: str) -> Case:
    """Return the chunked state-space scan, with the softplus of the step sizes."""
    from transformers.models.nemotron_h.modeling_nemotron_h import mamba2_chunk_scan

    theirs = inspect.unwrap(mamba2_chunk_scan)
    generator = torch.Generator().manual_seed(0)
    leaves = _leaves(
        {
            "x": torch.randn(batch, tokens, heads, head_dim, generator=generator),
            "dt": torch.randn(batch, tokens, heads, generator=generator) - 3,
            "A": -15 * torch.rand(heads, generator=generator) - 1,
            "B": torch.randn(batch, tokens, groups, state, generator=generator),
            "C": torch.randn(batch, tokens, groups, state, generator=generator),
        },
        device=device,
    )
    initial = torch.zeros(batch, heads, head_dim, state, device=device)
    x, dt, A, B, C = (ours for ours, _ in leaves.values())
    others = [other for _, other in leaves.values()]
    return Case(
        name=f"mamba2 scan, {batch}×{tokens} tokens, {heads} heads of {head_dim}, {groups} groups, state {state}",
        leaves=leaves,
        ours=lambda: mamba2.chunked(x, F.softplus(dt), A, B, C, state_BHPN=initial)[0],
        theirs=lambda: theirs(*others, chunk_size=128, dt_softplus=True),
    )


def delta_rule_case(*, batch: int, tokens: int, heads: int, head_dim: int, device: str) -> Case:
    """Return the chunked delta rule for normalised queries and keys."""
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    theirs = inspect.unwrap(torch_chunk_gated_delta_rule)
    generator = torch.Generator().manual_seed(0)
    shape = (batch, tokens, heads, head_dim)
    q, k = F.normalize(torch.randn(2, *shape, generator=generator), dim=-1)
    leaves = _leaves(
        {
            "q": q,
            "k": k,
            "v": torch.randn(shape, generator=generator),
            "beta": torch.rand(shape[:-1], generator=generator),
        },
        device=device,
    )
    initial = torch.zeros(batch, heads, head_dim, head_dim, device=device)
    q, k, v, beta = (ours for ours, _ in leaves.values())
    their_q, their_k, their_v, their_beta = (other for _, other in leaves.values())
    no_decay = torch.zeros_like(beta)
    return Case(
        name=f"delta rule, {batch}×{tokens} tokens, {heads} heads of {head_dim}",
        leaves=leaves,
        ours=lambda: deltanet.chunked(q * head_dim**-0.5, k, v, beta, state_BHKV=initial)[0],
        theirs=lambda: theirs(their_q, their_k, their_v, no_decay, their_beta)[0],
    )


def layer_case(kind: str, *, width: int, batch: int, tokens: int, device: str) -> Case:
    """Return a whole layer, projections included; all its parameters are differentiated, too."""
    pair = layer_pair(kind, width=width, tokens=tokens)
    ours, theirs = pair.ours.to(device), pair.theirs.to(device)
    leaves = _leaves(
        {"x": torch.randn(batch, tokens, width, generator=torch.Generator().manual_seed(0))}, device=device
    )
    our_x, their_x = leaves["x"]
    return Case(
        name=f"{kind} layer, {batch}×{tokens} tokens, width {width}",
        leaves=leaves,
        parameters=(_used(ours, pair.run_ours(our_x)), _used(theirs, pair.run_theirs(their_x))),
        ours=lambda: pair.run_ours(our_x),
        theirs=lambda: pair.run_theirs(their_x),
    )


def cases(*, device: str, full: bool) -> list[Case]:
    """Return what is compared: what short training on a laptop uses, and a few sizes above it."""
    scan = [(2, 256, 2, 64, 1, 128), (2, 257, 4, 32, 1, 32), (1, 1024, 8, 64, 1, 128), (1, 1000, 16, 64, 4, 64)]
    delta = [(2, 256, 1, 64), (2, 257, 4, 32), (1, 1024, 4, 64), (1, 1000, 2, 128)]
    layer = [(64, 2, 256), (128, 2, 255), (256, 1, 1024)]
    if full:
        scan += [(1, 4096, 8, 64, 1, 128), (1, 2048, 32, 64, 8, 128)]
        delta += [(1, 4096, 4, 64), (1, 2048, 8, 128)]
        layer += [(1024, 1, 1024)]
    names = ("batch", "tokens", "heads", "head_dim", "groups", "state")
    return [
        *(scan_case(**dict(zip(names, shape, strict=True)), device=device) for shape in scan),
        *(delta_rule_case(**dict(zip(names[:4], shape, strict=True)), device=device) for shape in delta),
        *(
            layer_case(kind, width=width, batch=batch, tokens=tokens, device=device)
            for kind in KINDS
            for width, batch, tokens in layer
            # Transformers' Mamba-1 takes its backward pass over slices of whole sequences: 24 s at 1024 tokens.
            if not (kind == "mamba1" and tokens > 256)
        ),
    ]


def check(case: Case) -> None:
    """Compare the output and every gradient.

    Raises:
        IncorrectError: one differs; nothing is timed then.
    """
    outputs = case.ours(), case.theirs()
    weights = torch.linspace(-1, 2, outputs[0].numel(), device=outputs[0].device).reshape_as(outputs[0]).sin()
    ours, theirs = zip(*case.leaves.values(), strict=True)
    pairs = {"output": outputs}
    grads = (torch.autograd.grad((y * weights).sum(), x) for y, x in zip(outputs, (ours, theirs), strict=True))
    pairs |= dict(zip(case.leaves, zip(*grads, strict=True), strict=True))
    for name, (mine, other) in pairs.items():
        mine, expected = mine.detach(), other.detach().reshape(mine.shape)
        error = float((mine - expected).square().mean().sqrt() / expected.square().mean().sqrt())
        # `not <=` and not `>`: a NaN is incorrect.
        if not error <= LARGEST_RELATIVE_RMS_ERROR:
            raise IncorrectError(
                f"{case.name}: {name} must agree with transformers within {LARGEST_RELATIVE_RMS_ERROR:g} relative "
                f"RMS; got {error:.2e}. No speed is reported for a wrong result."
            )


def time_pairs(case: Case, *, samples: int, device: DeviceName) -> tuple[list[float], list[float]]:
    """Return milliseconds of ours and theirs, in turns that change who goes first."""
    leaves_of = zip(*case.leaves.values(), strict=True)
    leaves_of_both = (leaves + more for leaves, more in zip(leaves_of, case.parameters, strict=True))
    runs = tuple(zip((case.ours, case.theirs), leaves_of_both, strict=True))
    seconds: tuple[list[float], list[float]] = ([], [])
    warm_up = 2
    for turn in range(warm_up + samples):
        for side in (0, 1) if turn % 2 else (1, 0):
            run, leaves = runs[side]
            started = _now(device)
            y = run()
            torch.autograd.grad(y, leaves, torch.ones_like(y))
            if turn >= warm_up:
                seconds[side].append(1e3 * (_now(device) - started))
    return seconds


def benchmark(options: Options) -> Document:
    """Check, then time, every case."""
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise UnavailableError("This benchmark compares with transformers, which is absent. Install it.") from error
    threads_before = torch.get_num_threads()
    torch.set_num_threads(NUM_THREADS)
    try:
        every = cases(device=options.device, full=options.full)
        for case in every:
            check(case)
        figures: dict[str, Figure] = {}
        ratios: dict[str, float] = {}
        for case in every:
            found = _figures(time_pairs(case, samples=40 if options.full else 20, device=options.device))
            figures |= {f"{case.name}: {name}": figure for name, figure in found.items()}
            ratios[case.name] = found["speedup"].value
    finally:
        torch.set_num_threads(threads_before)
    return Document(
        benchmark="operators",
        device=describe_device(options.device, num_threads=NUM_THREADS),
        versions=versions("torch", "transformers"),
        figures=figures,
        claims=[
            Claim.at_least(
                f"{kind}: forward and backward never slower than transformers' torch code (least median ratio)",
                value=min(ratio for name, ratio in ratios.items() if name.startswith(kind)),
                bound=AS_FAST if kind.removesuffix(" layer") in SAME_CALLS else NEVER_SLOWER,
            )
            for kind in ("mamba2 scan", "delta rule", *(f"{kind} layer" for kind in KINDS))
        ],
    )


def _figures(times_ms: tuple[Sequence[float], Sequence[float]]) -> dict[str, Figure]:
    ours, theirs = times_ms
    ratios = [other / mine for mine, other in zip(ours, theirs, strict=True)]
    deciles = statistics.quantiles(ratios, n=10)
    return {
        "ours": Figure(value=statistics.median(ours), unit="ms"),
        "theirs": Figure(value=statistics.median(theirs), unit="ms"),
        "speedup": Figure(value=statistics.median(ratios), unit="×"),
        "speedup p20": Figure(value=deciles[1], unit="×"),
        "speedup p80": Figure(value=deciles[7], unit="×"),
        "samples": Figure(value=len(ratios), unit="pairs"),
    }


def _used(module: nn.Module, y: Tensor) -> tuple[Tensor, ...]:
    """Return the parameters a module's output depends on."""
    parameters = tuple(module.parameters())
    grads = torch.autograd.grad(y.sum(), parameters, allow_unused=True)
    return tuple(parameter for parameter, grad in zip(parameters, grads, strict=True) if grad is not None)


def _leaves(tensors: Mapping[str, Tensor], *, device: str) -> dict[str, tuple[Tensor, Tensor]]:
    def leaf(tensor: Tensor) -> Tensor:
        return tensor.to(device, copy=True).requires_grad_()

    return {name: (leaf(tensor), leaf(tensor)) for name, tensor in tensors.items()}


def _now(device: DeviceName) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Operators against transformers' torch code.", devices=("cpu", "cuda")))
