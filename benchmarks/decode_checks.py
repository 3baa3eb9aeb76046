"""What must be right before `decode.py` times anything: tokens of small models, and Qwen3's logits. No clock here."""

from typing import Final

import torch
from torch import Tensor

from benchmarks.document import DeviceName, IncorrectError
from latency.runtime import Decoder
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.dimensions import architecture_from_pattern
from search_spaces.specs import AttentionSpec, FFNSpec

FLASH: Final = "nemotron-flash-1b"
QWEN: Final = "qwen3-0.6b"

LARGEST_RELATIVE_RMS_ERROR: Final = 1e-4
TIE: Final = {"cpu": 1e-6, "cuda": 1e-3}
"""Of the largest logit: by how much the chosen token may be below the likeliest. Kernels for prompts multiply float32
numbers in TF32 on a GPU, which decides between two that are as good as equal."""

CHECKED_PROMPT: Final = 17
CHECKED_TOKENS: Final = 24


def small_models() -> dict[str, Architecture]:
    """Return a small architecture of the kind of each of the two."""
    attention = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=16, rope_theta=1e6, qk_norm=True)
    flash = architecture_from_pattern("d f m2 f a f m2 f", hidden_size=128, vocab_size=257)
    qwen = Architecture(hidden_size=64, operators=(attention, FFNSpec(intermediate_size=96)) * 2, vocab_size=257)
    return {
        FLASH: Architecture(hidden_size=128, operators=flash.operators, vocab_size=257, num_meta_tokens=8),
        QWEN: qwen,
    }


def check_tokens(architecture: Architecture, *, device: DeviceName) -> None:
    """Check that the decoder's tokens are those its model's own pass over all tokens finds likeliest, one by one.

    Raises:
        IncorrectError: one is not.
    """
    with torch.device(device):
        model = HybridLM(architecture, seed=3).eval().requires_grad_(False)
    prompt_BT = prompt_of(architecture, (2, CHECKED_PROMPT), device=device)
    decoder = Decoder(model, batch_size=2, max_tokens=CHECKED_PROMPT + CHECKED_TOKENS, prefill_chunk_tokens=8)
    tokens_BN = decoder.generate(prompt_BT, num_tokens=CHECKED_TOKENS)
    with torch.inference_mode():
        logits_BTV = model(torch.cat((prompt_BT, tokens_BN[:, :-1]), dim=1))
    logits_BNV = logits_BTV[:, CHECKED_PROMPT - 1 :]
    chosen_BN = logits_BNV.gather(2, tokens_BN[:, :, None])[:, :, 0]
    wrong = int((chosen_BN < logits_BNV.amax(2) - TIE[device] * logits_BNV.abs().amax()).sum())
    if wrong:
        raise IncorrectError(
            f"The decoder must choose the tokens of the model's own pass ({architecture.pattern}, float32); "
            f"{wrong} of {tokens_BN.numel()} differ. No speed is reported for it."
        )


def check_qwen3(architecture: Architecture, *, device: DeviceName) -> float:
    """Compare our Qwen3 with transformers' of the same weights; return the relative RMS error of the logits.

    Raises:
        IncorrectError: it is too large.
    """
    from benchmarks.transformers_qwen3 import qwen3_of

    with torch.device(device):
        ours = HybridLM(architecture, seed=3).eval().requires_grad_(False)
    theirs = qwen3_of(ours, attn_implementation="sdpa")
    tokens_BT = prompt_of(architecture, (2, CHECKED_PROMPT), device=device)
    with torch.inference_mode():
        expected_BTV = theirs(tokens_BT).logits
        error_BTV = ours(tokens_BT) - expected_BTV
    error = float(error_BTV.square().mean().sqrt() / expected_BTV.square().mean().sqrt())
    if not error <= LARGEST_RELATIVE_RMS_ERROR:
        raise IncorrectError(
            f"Our Qwen3 must give transformers' logits within {LARGEST_RELATIVE_RMS_ERROR:g} relative RMS; got "
            f"{error:.2e}. No speed is reported for it."
        )
    return error


def prompt_of(architecture: Architecture, shape: tuple[int, int], *, device: DeviceName) -> Tensor:
    """Return random tokens of a shape [B, T], the same ones every time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(architecture.vocab_size, shape, generator=generator).to(device)
