import pytest
import torch
from torch import Tensor

from latency.runtime import Decoder, Sampling
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions, architecture_from_pattern

PATTERNS = ["a f", "w f", "m1 f", "m2 f", "d f", "hh f", "d f m2 w a f"]


def architecture(pattern: str, *, num_meta_tokens: int = 0) -> Architecture:
    return architecture_from_pattern(
        pattern,
        hidden_size=32,
        vocab_size=50,
        num_meta_tokens=num_meta_tokens,
        dimensions=Dimensions(
            head_dim=16, window=6 if "w" in pattern else None, mamba_head_dim=16, mamba_state_size=8, rope_theta=1e4
        ),
    )


def by_forward(model: HybridLM, prompt_BT: Tensor, *, num_tokens: int) -> Tensor:
    tokens_BT = prompt_BT
    with torch.no_grad():
        for _ in range(num_tokens):
            tokens_BT = torch.cat((tokens_BT, model(tokens_BT)[:, -1].argmax(-1)[:, None]), dim=1)
    return tokens_BT[:, prompt_BT.shape[1] :]


def prompt(batch_size: int, tokens: int) -> Tensor:
    return torch.randint(50, (batch_size, tokens), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("num_meta_tokens", [0, 3])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_greedy_tokens_are_those_of_the_forward_pass(pattern: str, num_meta_tokens: int, batch_size: int) -> None:
    model = HybridLM(architecture(pattern, num_meta_tokens=num_meta_tokens), seed=2)
    decoder = Decoder(model, batch_size=batch_size, max_tokens=24, prefill_chunk_tokens=4)
    prompt_BT = prompt(batch_size, 9)
    expected_BN = by_forward(model, prompt_BT, num_tokens=15)
    assert torch.equal(decoder.generate(prompt_BT, num_tokens=15), expected_BN)
    assert torch.equal(torch.stack(list(decoder.stream(prompt_BT, num_tokens=15)), dim=1), expected_BN)


def test_sampled_tokens_follow_the_seed() -> None:
    model = HybridLM(architecture("d f"), seed=0)
    prompt_BT = prompt(2, 4)

    def sampled(seed: int) -> Tensor:
        sampling = Sampling(temperature=1.5, top_k=20, seed=seed)
        decoder = Decoder(model, batch_size=2, max_tokens=40, sampling=sampling)
        first = decoder.generate(prompt_BT, num_tokens=30)
        assert torch.equal(decoder.generate(prompt_BT, num_tokens=30), first)
        return first

    assert torch.equal(sampled(7), sampled(7))
    assert not torch.equal(sampled(7), sampled(8))


def test_tokens_are_drawn_with_the_probabilities_of_the_softmax() -> None:
    model = HybridLM(architecture("f"), seed=0)
    decoder = Decoder(model, batch_size=1, max_tokens=4, sampling=Sampling(temperature=0.7, top_k=3))
    logits_BV = torch.tensor([[2.0, 1.0, 0.5, 0.4] + [-1.0] * 46])
    drawn = torch.stack([decoder._choose(logits_BV) for _ in range(4000)])
    shares = torch.bincount(drawn.flatten(), minlength=50) / 4000
    expected = torch.softmax(logits_BV[0, :3] / 0.7, 0)
    assert shares[3:].sum() == 0
    assert (shares[:3] - expected).abs().max() < 0.03


def test_one_token_of_top_k_is_the_likeliest() -> None:
    model = HybridLM(architecture("m2 f"), seed=0)
    prompt_BT = prompt(1, 5)
    greedy = Decoder(model, batch_size=1, max_tokens=20).generate(prompt_BT, num_tokens=10)
    top = Decoder(model, batch_size=1, max_tokens=20, sampling=Sampling(temperature=2.0, top_k=1))
    assert torch.equal(top.generate(prompt_BT, num_tokens=10), greedy)


@pytest.mark.parametrize(
    ("shape", "num_tokens", "message"),
    [
        ((2, 4), 1, r"\[batch=1, tokens\].*got \(2, 4\)"),
        ((1, 0), 1, "at least one token"),
        ((1, 4), 0, "num_tokens must be at least 1; got 0"),
        ((1, 4), 5, "max_tokens=8 has no room for 4 prompt and 5 generated"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, int], num_tokens: int, message: str) -> None:
    decoder = Decoder(HybridLM(architecture("f"), seed=0), batch_size=1, max_tokens=8)
    with pytest.raises(ValueError, match=message):
        decoder.generate(torch.zeros(shape, dtype=torch.int64), num_tokens=num_tokens)


@pytest.mark.parametrize(("field", "value"), [("temperature", -1.0), ("temperature", float("nan")), ("top_k", 0)])
def test_impossible_sampling_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Sampling(**{field: value})


@pytest.mark.gpu
@pytest.mark.parametrize("num_meta_tokens", [0, 3])
def test_graphs_generate_what_the_forward_pass_does(num_meta_tokens: int) -> None:
    model = HybridLM(architecture("d f m2 w a f", num_meta_tokens=num_meta_tokens), seed=2).cuda()
    prompt_BT = prompt(2, 9).cuda()
    generated_BN = Decoder(model, batch_size=2, max_tokens=24).generate(prompt_BT, num_tokens=15)
    assert torch.equal(generated_BN, by_forward(model, prompt_BT, num_tokens=15))
