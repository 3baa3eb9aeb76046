"""Perplexity of a text under a model, per token and as bits per byte, so that models with any tokenizers compare."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nas.winners.evaluation.continuations import token_nats
from nas.winners.evaluation.text import Text, Windows
from operators.model import HybridLM


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """What a model makes of a text."""

    uri: str
    side: str
    loss: float
    """Nats per token, ends of documents included."""

    bits_per_byte: float
    """Bits spent on tokens that stand for text, over the bytes they stand for; not a number where none does."""

    num_tokens: int
    """Predicted."""

    num_text_tokens: int
    """In the text."""

    num_bytes: int
    """Of what was predicted."""

    sequence_tokens: int
    stride: int
    seconds: float

    @property
    def perplexity(self) -> float:
        """Per token; infinite where a float cannot hold it."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "data": self.uri,
            "split": self.side,
            # JSON has no word for what is not finite.
            "perplexity": _finite(self.perplexity),
            "bits_per_byte": _finite(self.bits_per_byte),
            "loss": _finite(self.loss),
            "tokens": self.num_tokens,
            "text_tokens": self.num_text_tokens,
            "bytes": self.num_bytes,
            "sequence_tokens": self.sequence_tokens,
            "stride": self.stride,
            "seconds": self.seconds,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@torch.inference_mode()
def score_text(
    model: HybridLM,
    text: Text,
    *,
    sequence_tokens: int,
    stride: int | None = None,
    max_tokens: int | None = None,
    batch_size: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> TextScore:
    """Predict the tokens of a text.

    Args:
        model: on the device that computes.
        text: what to predict.
        sequence_tokens: tokens the model sees at once.
        stride: of these, how many are predicted; none means all, windows without overlap. Fewer cost more time and
            give each token more to go by.
        max_tokens: predict about so many, in windows spread evenly over the text; none means all.
        batch_size: windows at once.
        report: called with how many windows are done and how many there are.

    Raises:
        UsageError: a stride that is none.
    """
    started = time.perf_counter()
    windows = Windows(
        num_tokens=text.num_tokens,
        sequence_tokens=sequence_tokens,
        stride=sequence_tokens if stride is None else stride,
    )
    chosen = windows.spread(max_tokens)
    device = model.embedding.device
    sizes_V = torch.from_numpy(text.bytes_per_token).to(device)
    # On the device, so that no batch waits for the host.
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    num_tokens = 0
    for first in range(0, len(chosen), batch_size):
        batch = [windows[index] for index in chosen[first : first + batch_size]]
        nats_N, targets_N = _predict(model, text, batch)
        sizes_N = sizes_V[targets_N]
        totals += torch.stack((nats_N.sum(), nats_N[sizes_N > 0].sum(), sizes_N.sum()))
        num_tokens += len(targets_N)
        if report is not None:
            report(first + len(batch), len(chosen))
    nats, text_nats, num_bytes = totals.tolist()
    return TextScore(
        uri=text.uri,
        side=text.side,
        loss=nats / num_tokens,
        bits_per_byte=text_nats / (math.log(2) * num_bytes) if num_bytes else math.nan,
        num_tokens=num_tokens,
        num_text_tokens=text.num_tokens,
        num_bytes=round(num_bytes),
        sequence_tokens=sequence_tokens,
        stride=windows.stride,
        seconds=time.perf_counter() - started,
    )


def _predict(model: HybridLM, text: Text, batch: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
    """Return the nats [N] of the predicted tokens of several windows, and these tokens."""
    device = model.embedding.device
    longest = max(end - start for start, end, _ in batch)
    tokens_BT = torch.zeros(len(batch), longest + 1, dtype=torch.int64)
    is_scored_BT = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, (start, end, num_scored) in enumerate(batch):
        length = end - start
        tokens_BT[row, : length + 1] = torch.from_numpy(text.stretch(start, end + 1))
        is_scored_BT[row, length - num_scored : length] = True
    tokens_BT, is_scored_BT = tokens_BT.to(device), is_scored_BT.to(device)
    targets_N = tokens_BT[:, 1:][is_scored_BT]
    nats_N, _ = token_nats(model, model.stream(tokens_BT[:, :-1])[is_scored_BT], targets_N)
    return nats_N, targets_N
