"""Text of a checkpoint while the decoder makes it; of drawn weights it is `latency/generation.py`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from latency.copies import TORCH_DTYPES
from latency.device_probe import current_fingerprint
from latency.runtime import Decoder, Sampling
from latency.workload import Dtype
from nas.errors import UsageError
from nas.winners.evaluation.own_tokenizer import tokenizer_of_model
from nas.winners.model_folder import read_model_folder
from nas.winners.text_stream import TextStream
from nas.winners.weights import load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one step of the decoder gave."""

    text: str
    """That became certain with it; may be empty."""

    is_end: bool
    """Whether it is the end of the document, after which nothing comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A prompt in tokens, and what follows it."""

    num_prompt_tokens: int
    pieces: Iterator[Piece]
    """One for each token, the text still waiting with the last."""


def generate_text(
    path: Path,
    prompt: str,
    *,
    num_tokens: int,
    sampling: tuple[float, int | None, int],
    dtype: Dtype | None,
    device: str,
    ignores_end: bool = False,
    tokenizer: str | None = None,
) -> Generation:
    """Load a model and begin to generate after a prompt.

    Args:
        path: a checkpoint, or a training's folder.
        prompt: text to go on from.
        num_tokens: how many to generate at most.
        sampling: temperature, how many tokens to choose among (none: all), and the seed of the choice.
        dtype: of weights and states; none means as the weights were written.
        device: `cpu` or `cuda`.
        ignores_end: whether to go on after the end of the document.
        tokenizer: for a model that comes without one.

    Raises:
        CheckpointError: no model there, not whole, or without a tokenizer.
        UsageError: an empty prompt, or a tokenizer that is not the model's.
        UnavailableError: there is no such device.
        SpecError: a temperature or a number of tokens that means nothing.
    """
    temperature, top_k, seed = sampling
    choice = Sampling(temperature=temperature, top_k=top_k, seed=seed)
    current_fingerprint(device, num_threads=torch.get_num_threads())  # raises where there is no such device
    # Before the weights, which may take a while.
    text = tokenizer_of_model(read_model_folder(path), asked=tokenizer)
    read = text.encode(prompt).tolist()
    if not read:
        raise UsageError("A prompt needs at least one token; got an empty one. Give some text with --prompt.")
    model, _ = load_model(path, device=device, dtype=None if dtype is None else TORCH_DTYPES[dtype])
    decoder = Decoder(model, batch_size=1, max_tokens=len(read) + num_tokens, sampling=choice)
    stream = TextStream(text, context=read)
    # The decoder's vocabulary may be larger than the tokenizer's, and such tokens have no text.
    end, known = text.end_of_document, text.vocab_size

    def pieces() -> Iterator[Piece]:
        tokens = decoder.stream(torch.tensor([read], device=model.embedding.device), num_tokens=num_tokens)
        for place, token_B in enumerate(tokens, start=1):
            token = int(token_B)
            is_end = token == end and not ignores_end
            added = stream.add(token) if token < known else ""
            yield Piece(text=added + (stream.end() if is_end or place == num_tokens else ""), is_end=is_end)
            if is_end:
                return

    return Generation(num_prompt_tokens=len(read), pieces=pieces())
