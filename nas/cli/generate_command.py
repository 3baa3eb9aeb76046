"""`nas generate`: text from a checkpoint or from drawn weights, through the decoder that latency tables describe."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nas.cli.latency.options import DeviceName, HiddenSize, VocabSize
from nas.cli.task_options import OwnTokenizer

if TYPE_CHECKING:
    from latency.workload import Dtype

_Sampling = tuple[float, int | None, int]


def generate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="CKPT|ARCH",
            help="A checkpoint's folder; with --random-weights a reference, a spec file or a pattern.",
            show_default=False,
        ),
    ],
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="Read first.")] = "\n",
    num_tokens: Annotated[int, typer.Option("--tokens", min=2, help="Tokens to generate at most.")] = 64,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Tokens to choose among.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the choice.")] = 0,
    ignore_end: Annotated[
        bool, typer.Option("--ignore-end", help="Go on after the end of the document, to all the tokens asked for.")
    ] = False,
    tokenizer: OwnTokenizer = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option("--dtype", help="Number format; as the weights were written, or float32.", show_default=False),
    ] = None,
    device: DeviceName = "cpu",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Draw the weights: the tokens mean nothing, their speed does.")
    ] = False,
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
) -> None:
    """Generate text, each token as soon as it is there; say how fast on standard error.

    Tokens of drawn weights are text where the vocabulary is that of bytes, else numbers.
    """
    from nas.errors import UsageError

    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"A prompt is UTF-8; byte {len(prompt[: error.start].encode()) + 1} of --prompt is not. Convert it."
        ) from None
    sampling = (temperature, top_k, seed)
    is_folder = Path(model).is_dir()
    if random_weights:
        if is_folder:
            raise UsageError(f"--random-weights draws weights for an architecture; {model} has its own. Leave it out.")
        num_read, pieces = _random(
            model,
            prompt,
            num_tokens=num_tokens,
            sampling=sampling,
            dtype=dtype or "float32",
            device=device,
            hidden_size=hidden_size,
            vocab_size=vocab_size,
        )
        _print(num_read, pieces)
        return
    if hidden_size is not None or vocab_size is not None:
        raise UsageError("--hidden-size and --vocab-size go with a pattern and --random-weights; a CKPT has its own.")
    if not is_folder:
        raise UsageError(
            f"CKPT is a checkpoint's folder; there is none at {model}. To try an architecture that nobody trained: "
            "--random-weights."
        )
    from nas.winners.generation import generate_text

    generation = generate_text(
        Path(model),
        prompt,
        num_tokens=num_tokens,
        sampling=sampling,
        dtype=dtype,
        device=device,
        ignores_end=ignore_end,
        tokenizer=tokenizer,
    )
    ended = _print(generation.num_prompt_tokens, ((piece.text, piece.is_end) for piece in generation.pieces))
    if ended:
        typer.echo("The model ended the document; --ignore-end goes on.", err=True)


def _random(
    arch: str,
    prompt: str,
    *,
    num_tokens: int,
    sampling: _Sampling,
    dtype: "Dtype",
    device: str,
    hidden_size: int | None,
    vocab_size: int | None,
) -> tuple[int, Iterator[tuple[str, bool]]]:
    """Return the number of prompt tokens, and text or numbers of the tokens after it."""
    from nas.architectures import load_architecture
    from nas.errors import UsageError
    from nas.winners.text_stream import TextStream
    from proxies.tokenizers import ByteTokenizer

    tokenizer = ByteTokenizer()
    architecture = load_architecture(arch, hidden_size=hidden_size, vocab_size=vocab_size)
    read = tokenizer.encode(prompt)
    if architecture.vocab_size < tokenizer.vocab_size or not len(read):
        raise UsageError(
            f"A prompt needs at least one byte and a vocabulary of {tokenizer.vocab_size}; got {len(read)} byte(s) and "
            f"a vocabulary of {architecture.vocab_size}."
        )
    from latency.generation import stream_random

    tokens = stream_random(architecture, read, num_tokens=num_tokens, sampling=sampling, dtype=dtype, device=device)
    if architecture.vocab_size != tokenizer.vocab_size:
        return len(read), ((f"{token} ", False) for token in tokens)
    stream = TextStream(tokenizer, context=read.tolist())
    return len(read), (
        (stream.add(token) + (stream.end() if place == num_tokens else ""), False)
        for place, token in enumerate(tokens, start=1)
    )


def _print(num_read: int, pieces: Iterator[tuple[str, bool]]) -> bool:
    """Print each piece as it comes, then how fast they came; return whether the last one was the document's end."""
    started = time.perf_counter()
    first_s = 0.0
    num_tokens, has_ended = 0, False
    for text, is_end in pieces:
        if not num_tokens:
            first_s = time.perf_counter() - started
        num_tokens += 1
        has_ended = is_end
        typer.echo(text, nl=False)
    taken_s = time.perf_counter() - started - first_s
    typer.echo()
    further = num_tokens - 1
    speed = f", then {further} tokens at {further / taken_s:.1f} tokens/s" if further else ""
    typer.echo(f"{num_read} prompt tokens and the first token in {1000 * first_s:.1f} ms{speed}", err=True)
    return has_ended
