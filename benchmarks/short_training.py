"""Training a 500M hybrid at 4096 tokens on one GPU, against fla's own model of the same operators.

DeltaNet and attention, each with an FFN behind it: the hybrid that fla ships whole, with its fused norms, SwiGLU and
cross entropy. The same widths, heads, vocabulary and optimizer, in turns in one process. Before anything is timed the
parameters must be equal and our loss that of the float32 reference. fla's attention needs FlashAttention; where that is
not installed it gets torch's fused attention, which runs the same kernels. On a CPU, where fla does not run, this is a
dry run of our half.
"""

import importlib
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

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
from benchmarks.training_speed import Size, random_tokens, speed_figures, time_steps, training_step
from nas.winners.compiled_layers import compiled_layers
from nas.winners.loss import TrainingLoss
from operators.backends import BACKENDS, REFERENCE
from operators.cost import num_parameters
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.errors import UnavailableError
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, OperatorSpec

NUM_THREADS: Final = 1
BLOCK: Final = "d f d f d f a f"
NUM_BLOCKS: Final = 6
WIDTH: Final = 1280
VOCAB_SIZE: Final = 32_000
ROPE_THETA: Final = 10_000.0
SIZES: Final[dict[DeviceName, Size]] = {"cuda": Size(batch=4, tokens=4096), "cpu": Size(batch=1, tokens=64)}
LEAST_RATIO: Final = 1.1
LARGEST_LOSS_ERROR: Final = {"cuda": 1e-2, "cpu": 1e-4}
"""Relative, of the loss in bfloat16 against the float32 reference on a short sequence."""

CHECKED_TOKENS: Final = 130
THEIRS: Final = "fla's model"


def benchmark(options: Options) -> Document:
    """Check both sides, then let them take turns."""
    torch.set_num_threads(NUM_THREADS)
    device = options.device
    architecture = hybrid(device)
    size = SIZES[device]
    tokens_BT = random_tokens(size, vocab_size=architecture.vocab_size, device=device)
    check(architecture, device=device)
    with ExitStack() as stack:
        steps = {"ours, as written": _our_step(architecture, tokens_BT, device=device)}
        if device == "cuda":
            steps["ours, compiled"] = _our_step(architecture, tokens_BT, device=device, stack=stack)
            theirs = their_model(architecture)
            _check_same_size(theirs, architecture)
            inputs_BT = tokens_BT[:, :-1].contiguous()
            steps[THEIRS] = training_step(
                theirs.parameters(), lambda: theirs(input_ids=inputs_BT, labels=inputs_BT).loss, device=device
            )
        milliseconds = time_steps(steps, samples=30 if options.full else 12, device=device)
    figures = {"parameters": Figure(value=num_parameters(architecture) / 1e6, unit="M")}
    for name, taken_ms in milliseconds.items():
        figures |= speed_figures(name, taken_ms, architecture, size)
    claims = []
    if THEIRS in milliseconds:
        best = min(taken_ms for name, taken_ms in milliseconds.items() if name != THEIRS)
        claims = [
            Claim.at_least(
                "tokens a second of ours over fla's model", value=milliseconds[THEIRS] / best, bound=LEAST_RATIO
            )
        ]
    return Document(
        benchmark="short_training",
        device=describe_device(device, num_threads=NUM_THREADS),
        versions=versions("torch", "triton", "flash-linear-attention", "flash-attn", "transformers"),
        figures=figures,
        claims=claims,
    )


def hybrid(device: DeviceName) -> Architecture:
    """Return what is trained: about 500M parameters, or on a CPU the same pattern tiny."""
    small = device == "cpu"
    return architecture_from_pattern(
        f"({BLOCK})x{1 if small else NUM_BLOCKS}",
        hidden_size=64 if small else WIDTH,
        vocab_size=257 if small else VOCAB_SIZE,
        dimensions=Dimensions(head_dim=32 if small else 128, rope_theta=ROPE_THETA),
    )


def check(architecture: Architecture, *, device: DeviceName) -> None:
    """Compare our loss with that of the reference in float32 on a short sequence.

    Raises:
        IncorrectError: it differs; nothing is timed then.
    """
    tokens_BT = random_tokens(Size(batch=1, tokens=CHECKED_TOKENS), vocab_size=architecture.vocab_size, device=device)
    losses = []
    for backend in ("auto", REFERENCE):
        with torch.device(device):
            model = HybridLM(architecture, seed=0, backend=backend)
        is_half = device == "cuda" and backend != REFERENCE
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=is_half):
            losses.append(float(TrainingLoss(model)(tokens_BT)[0]))
    error = abs(losses[0] / losses[1] - 1)
    # `not <=` and not `>`: a NaN is incorrect.
    if not error <= LARGEST_LOSS_ERROR[device]:
        raise IncorrectError(
            f"The loss must agree with the reference within {LARGEST_LOSS_ERROR[device]:g}; got {losses[0]:.5f} and "
            f"{losses[1]:.5f}. No speed is reported for a wrong result."
        )


def their_model(architecture: Architecture) -> Any:
    """Return fla's DeltaNet model with attention in the places of ours.

    Raises:
        UnavailableError: fla is absent or too old to mix them.
    """
    missing = BACKENDS["fla"].missing_package()
    if missing is not None:
        raise UnavailableError(f"The comparison with fla's model needs flash-linear-attention: {missing}.")
    from fla.models import DeltaNetConfig, DeltaNetForCausalLM

    attention_layers: Any = importlib.import_module("fla.layers.attn")
    if attention_layers.flash_attn_func is None:
        attention_layers.flash_attn_func = _fused_attention
    delta = _first(architecture, DeltaNetSpec)
    attention = _first(architecture, AttentionSpec)
    mixers = [spec for spec in architecture.operators if not isinstance(spec, FFNSpec)]
    config = DeltaNetConfig(
        hidden_size=architecture.hidden_size,
        num_heads=delta.num_heads,
        conv_size=delta.conv_width,
        use_gate=delta.output_gate,
        num_hidden_layers=len(mixers),
        intermediate_size=_first(architecture, FFNSpec).intermediate_size,
        attn={
            "layers": [index for index, spec in enumerate(mixers) if isinstance(spec, AttentionSpec)],
            "num_heads": attention.num_heads,
            "num_kv_heads": attention.num_kv_heads,
            "rope_theta": ROPE_THETA,
        },
        vocab_size=architecture.vocab_size,
        tie_word_embeddings=architecture.tie_embeddings,
        use_cache=False,
    )
    with torch.device("cuda"):
        return DeltaNetForCausalLM(config).train()


def _our_step(
    architecture: Architecture, tokens_BT: Tensor, *, device: DeviceName, stack: ExitStack | None = None
) -> Callable[[], None]:
    """Return a step of a model of ours; compiled while a stack is open that is given."""
    with torch.device(device):
        model = HybridLM(architecture, seed=0)
    if stack is not None:
        stack.enter_context(compiled_layers(model, num_stages=1))
    loss = TrainingLoss(model)
    return training_step(model.parameters(), lambda: loss(tokens_BT)[0], device=device)


def _check_same_size(theirs: nn.Module, architecture: Architecture) -> None:
    found = sum(parameter.numel() for parameter in theirs.parameters())
    if found != num_parameters(architecture):
        raise IncorrectError(
            f"Both models must have the same parameters; fla's has {found:,}, ours {num_parameters(architecture):,}."
        )


def _fused_attention(q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, *, causal: bool, window_size: Any) -> Tensor:
    """Stand in for FlashAttention's function where its package is absent.

    Raises:
        IncorrectError: a window, which the model compared has not.
    """
    if tuple(window_size) != (-1, -1):
        raise IncorrectError(f"torch's attention stands in for one without a window; got {window_size}.")
    q, k, v = (x.transpose(1, 2) for x in (q_BTHK, k_BTHK, v_BTHK))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True).transpose(1, 2)


def _first(architecture: Architecture, kind: type[OperatorSpec]) -> Any:
    return next(spec for spec in architecture.operators if isinstance(spec, kind))


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Training against fla's own model.", devices=("cuda", "cpu")))
