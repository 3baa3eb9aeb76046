"""Loss on held-out sequences, per token and per byte."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from proxies.placement import autocast
from proxies.ranks import ALONE, Sharing
from proxies.settings import TrainingDtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Mean losses over the same sequences."""

    loss: float
    """Nats per predicted token, special tokens included."""

    bits_per_byte: float
    """Bits spent on tokens that stand for text, over the bytes they stand for. Special tokens count on neither side, so
    models with different tokenizers compare."""

    @property
    def perplexity(self) -> float:
        """Per token; infinite where a float cannot hold it."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf


def validate(
    model: nn.Module,
    sequences_NT: NDArray[np.int64],
    *,
    bytes_per_token: NDArray[np.int64] | NDArray[np.float64],
    batch_size: int,
    dtype: TrainingDtype,
    ranks: Sharing = ALONE,
) -> Validation:
    """Return the mean losses of predicting each token from those before; leaves the model in training mode.

    Of several processes each computes its share of the sequences, `batch_size` at once, and all return the same.
    """
    device = next(model.parameters()).device
    tokens_NT = torch.from_numpy(ranks.share(sequences_NT)).to(device)
    sizes_V = torch.from_numpy(bytes_per_token).to(device)
    total_nats = torch.zeros((), dtype=torch.float64, device=device)
    text_nats = torch.zeros_like(total_nats)
    num_bytes = torch.zeros_like(total_nats)
    model.eval()
    with torch.no_grad(), autocast(dtype, device=device):
        most = -(-len(sequences_NT) // ranks.count)
        for first in range(0, most, batch_size):
            tokens_BT = tokens_NT[first : first + batch_size]
            if not len(tokens_BT):
                # Others have a sequence more. A model that is spread over processes computes where all of them do.
                model(torch.from_numpy(sequences_NT[:1, :-1]).to(device))
                continue
            targets = tokens_BT[:, 1:].flatten()
            logits_BTV = model(tokens_BT[:, :-1])
            nats = functional.cross_entropy(logits_BTV.flatten(0, 1).float(), targets, reduction="none").double()
            sizes = sizes_V[targets]
            total_nats += nats.sum()
            text_nats += nats[sizes > 0].sum()
            num_bytes += sizes.sum()
    model.train()
    for total in (total_nats, text_nats, num_bytes):
        ranks.sum_(total)
    num_targets = sequences_NT.shape[0] * (sequences_NT.shape[1] - 1)
    return Validation(
        loss=float(total_nats) / num_targets,
        bits_per_byte=float(text_nats) / (math.log(2) * float(num_bytes)) if num_bytes else math.nan,
    )
