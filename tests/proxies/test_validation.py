import math

import numpy as np
import pytest
import torch
from torch import nn

from proxies.ranks import Ranks
from proxies.tokenizers import ByteTokenizer
from proxies.validation import Validation, validate

SEQUENCES_NT = np.random.default_rng(0).integers(0, 257, size=(7, 21))
SEQUENCES_NT[:, 5] = 256
SIZES = ByteTokenizer().bytes_per_token


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_losses_are_means_over_all_tokens_and_over_real_bytes(bigram: nn.Module, batch_size: int) -> None:
    result = validate(bigram, SEQUENCES_NT, bytes_per_token=SIZES, batch_size=batch_size, dtype="auto")
    with torch.no_grad():
        log_probabilities = bigram.double()(torch.from_numpy(SEQUENCES_NT[:, :-1])).log_softmax(-1).numpy()
    targets = SEQUENCES_NT[:, 1:]
    nats = -np.take_along_axis(log_probabilities, targets[..., None], axis=-1)[..., 0]
    assert result.loss == pytest.approx(nats.mean(), rel=1e-6)
    assert result.bits_per_byte == pytest.approx(nats[targets != 256].mean() / math.log(2), rel=1e-6)
    assert result.perplexity == pytest.approx(math.exp(nats.mean()), rel=1e-5)


def test_a_token_of_several_bytes_shares_its_bits_among_them(bigram: nn.Module) -> None:
    once = validate(bigram, SEQUENCES_NT, bytes_per_token=SIZES, batch_size=4, dtype="auto")
    thrice = validate(bigram, SEQUENCES_NT, bytes_per_token=3 * SIZES, batch_size=4, dtype="auto")
    assert thrice.bits_per_byte == pytest.approx(once.bits_per_byte / 3)
    assert thrice.loss == once.loss


def test_validating_changes_nothing_and_keeps_no_graph(bigram: nn.Module) -> None:
    before = {name: value.clone() for name, value in bigram.state_dict().items()}
    bigram.train()
    modes = []
    bigram.register_forward_hook(lambda model, _, logits: modes.append((model.training, logits.requires_grad)))
    validate(bigram, SEQUENCES_NT, bytes_per_token=SIZES, batch_size=7, dtype="auto")
    assert modes == [(False, False)]
    assert bigram.training
    assert all(torch.equal(value, before[name]) for name, value in bigram.state_dict().items())


def test_a_perplexity_beyond_floats_is_infinite() -> None:
    assert Validation(loss=1e4, bits_per_byte=1.0).perplexity == math.inf


class _Third(Ranks):
    """One of three that hears nothing of the others."""

    def sum_(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor


def test_every_process_computes_equally_often_and_counts_its_own(bigram: nn.Module) -> None:
    # A model that is spread over processes computes only where all of them do.
    calls: list[int] = []
    bigram.register_forward_hook(lambda *_: calls.append(1))
    losses = []
    for rank in range(3):
        ranks = _Third(rank=rank, count=3)
        losses.append(
            validate(bigram, SEQUENCES_NT, bytes_per_token=SIZES, batch_size=1, dtype="auto", ranks=ranks).loss
        )
    assert len(calls) == 9
    alone = validate(bigram, SEQUENCES_NT, bytes_per_token=SIZES, batch_size=7, dtype="auto")
    assert sum(losses) == pytest.approx(alone.loss, rel=1e-6)
