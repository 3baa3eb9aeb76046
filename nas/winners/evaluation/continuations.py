"""How likely a model takes given tokens to be after others; every task that compares answers stands on it.

Sequences of several lengths share a batch, the shorter ones filled up on the right: what is computed of a token never
depends on what comes after it. Generating is `latency/runtime.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from nas.errors import UsageError
from operators.model import HybridLM

Tokens = Sequence[int]

_LOGITS_AT_ONCE: Final = 2**26
"""Numbers: 256 MB in float32. Large vocabularies would otherwise need gigabytes for one sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuationScore:
    """What a model makes of one continuation."""

    log_likelihood: float
    """Of all its tokens together, in nats; at most 0."""

    num_tokens: int

    num_greedy: int
    """Tokens that were the likeliest, each after the true ones before it."""

    @property
    def is_greedy(self) -> bool:
        """Whether generating the likeliest tokens would give exactly this continuation."""
        return self.num_greedy == self.num_tokens


@torch.inference_mode()
def score_continuations(
    model: HybridLM,
    pairs: Sequence[tuple[Tokens, Tokens]],
    *,
    batch_size: int,
    context_tokens: int,
    report: Callable[[int, int], None] | None = None,
) -> list[ContinuationScore]:
    """Return the score of each continuation after its context, in their order.

    Args:
        model: on the device that computes.
        pairs: contexts, of at least one token, with their continuations.
        batch_size: sequences at once.
        context_tokens: tokens the model sees at most; of longer contexts the end is kept.
        report: called with how many are done and how many there are.

    Raises:
        UsageError: a continuation alone is longer than that.
    """
    sequences = [_sequence(context, continuation, context_tokens=context_tokens) for context, continuation in pairs]
    # Long ones first: sequences of a batch are about equally long, and what does not fit into memory fails at once.
    order = sorted(range(len(pairs)), key=lambda index: -len(sequences[index]))
    scores: dict[int, ContinuationScore] = {}
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        found = _score_batch(model, [(sequences[index], len(pairs[index][1])) for index in batch])
        scores |= dict(zip(batch, found, strict=True))
        if report is not None:
            report(len(scores), len(order))
    return [scores[index] for index in range(len(pairs))]


def token_nats(model: HybridLM, stream_ND: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nats [N] of predicting tokens from streams, as float64, and whether each was the likeliest token."""
    rows = max(1, _LOGITS_AT_ONCE // model.architecture.vocab_size)
    nats, greedy = [], []
    for part_ND, part_N in zip(torch.split(stream_ND, rows), torch.split(targets_N, rows), strict=True):
        logits_NV = model.logits(part_ND).float()
        nats.append(functional.cross_entropy(logits_NV, part_N, reduction="none").double())
        greedy.append(logits_NV.argmax(-1) == part_N)
    return torch.cat(nats), torch.cat(greedy)


def _sequence(context: Tokens, continuation: Tokens, *, context_tokens: int) -> list[int]:
    if len(continuation) > context_tokens:
        raise UsageError(
            f"A continuation must fit into the {context_tokens} tokens that the model sees; one has "
            f"{len(continuation)}. Raise --context-tokens."
        )
    # The last token is only predicted.
    return [*context, *continuation][-(context_tokens + 1) :]


def _score_batch(model: HybridLM, batch: Sequence[tuple[list[int], int]]) -> list[ContinuationScore]:
    device = model.embedding.device
    tokens_BT = torch.zeros(len(batch), max(len(sequence) for sequence, _ in batch) - 1, dtype=torch.int64)
    rows: list[int] = []
    places: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    for row, (sequence, num_scored) in enumerate(batch):
        num_inputs = len(sequence) - 1
        tokens_BT[row, :num_inputs] = torch.tensor(sequence[:-1])
        rows += [row] * num_scored
        places += range(num_inputs - num_scored, num_inputs)
        targets += sequence[len(sequence) - num_scored :]
        lengths.append(num_scored)
    if not targets:
        return [ContinuationScore(log_likelihood=0.0, num_tokens=0, num_greedy=0) for _ in batch]
    stream_ND = model.stream(tokens_BT.to(device))[torch.tensor(rows), torch.tensor(places)]
    nats_N, greedy_N = token_nats(model, stream_ND, torch.tensor(targets, device=device))
    return [
        ContinuationScore(log_likelihood=-float(nats.sum()), num_tokens=len(nats), num_greedy=int(greedy.sum()))
        for nats, greedy in zip(torch.split(nats_N.cpu(), lengths), torch.split(greedy_N.cpu(), lengths), strict=True)
    ]
