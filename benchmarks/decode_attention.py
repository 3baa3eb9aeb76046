"""Our fused attention step against torch's fused attention and FlashAttention's, by the tokens in the cache.

All sides step copies whose caches together exceed the L2 cache several times, one after another in one CUDA graph; the
graphs take turns, and positions are set back between them. FlashAttention's side neither norms nor rotates. Outputs are
compared with the torch step first. On a CPU only that comparison is made, on small shapes in Triton's interpreter.
"""

import os
import statistics
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

if any(argument.endswith("cpu") for argument in sys.argv):
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

import torch
from torch import Tensor

from benchmarks.decode_steps import CACHE_MULTIPLE, LARGEST_RELATIVE_RMS_ERROR, SAMPLES, Step, captured, elapsed_us
from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from operators.base import StateRequest
from operators.registry import build_operator
from search_spaces.specs import AttentionSpec

NEVER_SLOWER: Final = 1.0
CHECKED_STEPS: Final = 3

WARM_STEPS: Final = 4
"""Room for what `captured` runs before positions are set back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attention step behind so many tokens."""

    name: str
    spec: AttentionSpec
    context: int
    capacity: int
    """Tokens the cache has room for."""


def cases(*, on_gpu: bool) -> list[Case]:
    """Return full attention by context, a window, and a long cache with little in it."""
    width, heads, contexts = (128, 16, (1024, 8192, 32768)) if on_gpu else (8, 4, (40, 70))
    full = AttentionSpec(num_heads=heads, num_kv_heads=heads // 4, head_dim=width, qk_norm=True, rope_theta=1e6)
    window = contexts[0] // 2
    slid = AttentionSpec(num_heads=heads, num_kv_heads=heads // 4, head_dim=width, window=window, rope_theta=1e4)
    shortest, longest = contexts[0], contexts[-1]
    return [
        *(Case(name=f"{tokens} tokens", spec=full, context=tokens, capacity=tokens) for tokens in contexts),
        Case(name=f"{shortest} tokens, room for {longest}", spec=full, context=shortest, capacity=longest),
        Case(name=f"window of {window}", spec=slid, context=shortest, capacity=longest),
    ]


def check(case: Case, *, device: str, dtype: torch.dtype) -> float:
    """Compare the last steps before the context is full with the torch step; return the largest relative RMS error.

    Raises:
        IncorrectError: it is too large; nothing is timed then.
    """
    heads = [_heads(case.spec, device=device, dtype=dtype, backend=name) for name in ("triton", "reference")]
    states = [_filled(each, case, tokens=case.context - CHECKED_STEPS, device=device, dtype=dtype) for each in heads]
    largest = 0.0
    for _ in range(CHECKED_STEPS):
        qkv_BC = torch.randn(1, sum(heads[0].widths), device=device, dtype=dtype)
        with torch.no_grad():
            mine, expected = (each.step(qkv_BC, state).float() for each, state in zip(heads, states, strict=True))
        largest = max(largest, float((mine - expected).square().mean().sqrt() / expected.square().mean().sqrt()))
    if not largest <= LARGEST_RELATIVE_RMS_ERROR[dtype]:
        raise IncorrectError(
            f"The fused attention step ({case.name}) must be the torch step within "
            f"{LARGEST_RELATIVE_RMS_ERROR[dtype]:g} relative RMS; got {largest:.2e}. No speed is reported for it."
        )
    return largest


def time_sides(case: Case) -> dict[str, list[float]]:
    """Return microseconds a step of every side that can run, at batch 1 in bfloat16."""
    dtype, sides = torch.bfloat16, {}
    positions: list[Tensor] = []
    for name in ("triton", "sdpa"):
        heads = _heads(case.spec, device="cuda", dtype=dtype, backend=name)
        states = [
            _filled(heads, case, tokens=case.context - 1, device="cuda", dtype=dtype) for _ in range(_copies(case))
        ]
        positions.extend(state.position for state in states)
        sides[name] = [_step(heads, state) for state in states]
    if case.spec.window is None and find_spec("flash_attn") is not None:
        sides["flash-attn"] = [_flash_step(case) for _ in range(len(sides["triton"]))]
    replays = {name: captured(steps) for name, steps in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in replays}
    for _ in range(SAMPLES):
        for name, replay in replays.items():
            for position in positions:
                position.fill_(case.context - 1)
            times[name].append(elapsed_us(replay) / len(sides[name]))
    return times


def benchmark(options: Options) -> Document:
    """Check every step; time it where there is a GPU."""
    on_gpu = options.device == "cuda"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    figures: dict[str, Figure] = {}
    errors: list[float] = []
    ratios: dict[str, list[float]] = {}
    for case in cases(on_gpu=on_gpu):
        errors.append(check(case, device=options.device, dtype=dtype))
        if not on_gpu:
            continue
        times = time_sides(case)
        for name, taken in times.items():
            figures[f"{case.name}: {name}"] = Figure(value=statistics.median(taken), unit="µs")
        speed = _bytes_read(case) / statistics.median(times["triton"]) / 1e3
        figures[f"{case.name}: read by triton"] = Figure(value=speed, unit="GB/s")
        for name in times.keys() - {"triton"}:
            ratio = statistics.median(b / a for a, b in zip(times["triton"], times[name], strict=True))
            figures[f"{case.name}: {name} / triton"] = Figure(value=ratio, unit="×")
            ratios.setdefault(name, []).append(ratio)
    if on_gpu and "flash-attn" not in ratios:
        figures["not compared with flash-attn, which is absent"] = Figure(value=0, unit="")
    bound = LARGEST_RELATIVE_RMS_ERROR[dtype]
    return Document(
        benchmark="decode_attention",
        device=describe_device(options.device, num_threads=torch.get_num_threads()),
        versions=versions("torch", "triton", "flash-attn"),
        figures=figures,
        claims=[
            Claim.at_most("every fused step is the torch step (largest relative RMS)", value=max(errors), bound=bound),
            *(
                Claim.at_least(f"never slower than {name} (least median ratio)", value=min(found), bound=NEVER_SLOWER)
                for name, found in ratios.items()
            ),
        ],
    )


def _heads(spec: AttentionSpec, *, device: str, dtype: torch.dtype, backend: str) -> Any:
    operator: Any = build_operator(spec, hidden_size=64, norm_eps=1e-6, backend=backend).to(device, dtype)
    return operator.heads


def _filled(heads: Any, case: Case, *, tokens: int, device: str, dtype: torch.dtype) -> Any:
    request = StateRequest(batch_size=1, max_tokens=case.capacity + WARM_STEPS, device=device, dtype=dtype)
    state = heads.make_state(request)
    for seed, tensor in enumerate((state.keys, state.values)):
        tensor.normal_(generator=torch.Generator(device).manual_seed(seed))
    state.position.fill_(tokens)
    return state


def _copies(case: Case) -> int:
    l2_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    return int(-(-CACHE_MULTIPLE * l2_bytes // _bytes_read(case)))


def _bytes_read(case: Case) -> int:
    spec = case.spec
    tokens = case.context if spec.window is None else min(spec.window, case.context)
    return 2 * tokens * spec.num_kv_heads * (spec.head_dim + spec.value_dim)


def _step(heads: Any, state: Any) -> Step:
    qkv_BC = torch.randn(1, sum(heads.widths), device="cuda", dtype=torch.bfloat16)
    return lambda: heads.step(qkv_BC, state)


def _flash_step(case: Case) -> Step:
    attend = import_module("flash_attn").flash_attn_with_kvcache
    spec = case.spec

    def random(tokens: int, heads: int) -> Tensor:
        return torch.randn(1, tokens, heads, spec.head_dim, device="cuda", dtype=torch.bfloat16)

    q_B1HK, k_B1GK, v_B1GV = random(1, spec.num_heads), random(1, spec.num_kv_heads), random(1, spec.num_kv_heads)
    k_BSGK, v_BSGV = random(case.capacity, spec.num_kv_heads), random(case.capacity, spec.num_kv_heads)
    stored_B = torch.full((1,), case.context - 1, device="cuda", dtype=torch.int32)
    return lambda: attend(q_B1HK, k_BSGK, v_BSGV, k=k_B1GK, v=v_B1GV, cache_seqlens=stored_B, causal=True)


if __name__ == "__main__":
    sys.exit(
        main(
            benchmark, description="The fused attention step against torch and FlashAttention.", devices=("cuda", "cpu")
        )
    )
