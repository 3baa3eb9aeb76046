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
    import torch

    from latency.copies import TORCH_DTYPES
    from latency.device_probe import current_fingerprint
    from latency.runtime import Decoder, Sampling
    from latency.whole_model import random_model

    current_fingerprint(device, num_threads=torch.get_num_threads())  # raises where there is no such device
    model = random_model(architecture, dtype=TORCH_DTYPES[dtype], device=device)
    decoder = Decoder(
        model,
        batch_size=1,
        max_tokens=len(read) + num_tokens,
        sampling=Sampling(temperature=temperature, top_k=top_k, seed=seed),
    )
    prompt_BT = torch.from_numpy(read.astype(np.int64))[None].to(device)
    is_text = architecture.vocab_size == tokenizer.vocab_size
    started = time.perf_counter()
    first_s = 0.0
    for place, token_B in enumerate(decoder.stream(prompt_BT, num_tokens=num_tokens)):
        token = token_B.cpu().numpy()
        if place == 0:
            first_s = time.perf_counter() - started
        typer.echo(tokenizer.decode(token) if is_text else f"{token[0]} ", nl=False)
    taken_s = time.perf_counter() - started - first_s
    typer.echo()
    typer.echo(
        f"{len(read)} prompt tokens and the first token in {1000 * first_s:.1f} ms, then {num_tokens - 1} tokens at "
        f"{(num_tokens - 1) / taken_s:.1f} tokens/s",
        err=True,
    )
