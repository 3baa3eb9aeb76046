"""`nas generate`: text from a model through the decoder that latency tables describe."""

import time
from typing import Annotated

import typer

from nas.cli.latency.options import DeviceName, DtypeName, HiddenSize, VocabSize


def generate(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH", help="A reference, a spec file or a pattern.", show_default=False)
    ],
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Draw the weights: the tokens mean nothing, their speed does.")
    ] = False,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="Read first, a token a byte.")] = "\n",
    num_tokens: Annotated[int, typer.Option("--tokens", min=2, help="Tokens to generate.")] = 64,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Tokens to choose among.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the choice.")] = 0,
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    dtype: DtypeName = "float32",
    device: DeviceName = "cpu",
) -> None:
    """Generate with one architecture, each token as soon as it is there; say how fast on standard error.

    Tokens are text where the vocabulary is that of bytes, else numbers.
    """
    import numpy as np

    from nas.architectures import load_architecture
    from nas.errors import UsageError
    from proxies.tokenizers import ByteTokenizer

    if not random_weights:
        raise UsageError("There are no trained checkpoints to read yet. To try the decoder: --random-weights.")
    tokenizer = ByteTokenizer()
    architecture = load_architecture(arch, hidden_size=hidden_size, vocab_size=vocab_size)
    read = tokenizer.encode(prompt)
    if architecture.vocab_size < tokenizer.vocab_size or not len(read):
        raise UsageError(
            f"A prompt needs at least one byte and a vocabulary of {tokenizer.vocab_size}; got {len(read)} byte(s) and "
            f"a vocabulary of {architecture.vocab_size}."
        )
    from latency.generation import stream_random

    tokens = stream_random(
        architecture,
        read,
        num_tokens=num_tokens,
        sampling=(temperature, top_k, seed),
        dtype=dtype,
        device=device,
    )
    is_text = architecture.vocab_size == tokenizer.vocab_size
    started = time.perf_counter()
    first_s = 0.0
    for place, token in enumerate(tokens):
        if place == 0:
            first_s = time.perf_counter() - started
        typer.echo(tokenizer.decode(np.array([token])) if is_text else f"{token} ", nl=False)
    taken_s = time.perf_counter() - started - first_s
    typer.echo()
    typer.echo(
        f"{len(read)} prompt tokens and the first token in {1000 * first_s:.1f} ms, then {num_tokens - 1} tokens at "
        f"{(num_tokens - 1) / taken_s:.1f} tokens/s",
        err=True,
    )
