"""Whether batches come faster than training takes them: from mapped shards, against short training on this machine.

The library's source is tokenized by a BPE into several files; what is drawn from them is first compared with the same
tokens in memory. Loading and training take turns, so that what else the machine does slows both.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from proxies.data import Corpus, load_corpus, training_batch
from proxies.settings import Sampling, TrainingSettings
from proxies.shard_writing import prepare_shards
from proxies.shards import ShardedTokens, verify_shards
from proxies.step_time import seconds_per_step
from proxies.tokenizer_training import train_tokenizer
from search_spaces.dimensions import architecture_from_pattern

VOCAB_SIZE: Final = 8192
SHARD_TOKENS: Final = 2**18
PATTERN: Final = "m2 f a f"
HIDDEN_SIZE: Final = 64
"""Of a model far smaller than what is searched for, which takes batches faster than those would."""

LEAST_RATIO: Final = 10.0
SAMPLINGS: Final[tuple[Sampling, ...]] = ("random", "epochs")
_ROUNDS: Final = 5
_BATCHES: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Shards, and how long they took."""

    corpus: Corpus
    tokenizer_s: float
    shards_s: float


def prepare(folder: Path, *, sequence_tokens: int) -> Prepared:
    """Learn a tokenizer from the library and tokenize it."""
    started = time.perf_counter()
    tokenizer = train_tokenizer("stdlib", vocab_size=VOCAB_SIZE, name="stdlib")
    learnt = time.perf_counter()
    prepare_shards("stdlib", tokenizer=tokenizer, folder=folder, shard_tokens=SHARD_TOKENS)
    done = time.perf_counter()
    verify_shards(folder)
    corpus = load_corpus(f"tokens:{folder}", sequence_tokens=sequence_tokens)
    return Prepared(corpus=corpus, tokenizer_s=learnt - started, shards_s=done - learnt)


def check(corpus: Corpus, folder: Path, settings: TrainingSettings) -> None:
    """Compare batches with the tokens in memory, and an epoch with every sequence once.

    Raises:
        IncorrectError: they differ.
    """
    files = sorted(folder.glob("train-*.npy"))
    whole = np.concatenate([np.load(file) for file in files])
    length = settings.sequence_tokens + 1
    if not isinstance(corpus.train.tokens, ShardedTokens) or len(files) < 2:
        raise IncorrectError(f"Several files are to be mapped; got {len(files)}.")
    starts = np.random.default_rng(0).integers(0, len(whole) - length, size=2000)
    expected = whole[starts[:, None] + np.arange(length)]
    if not np.array_equal(corpus.train.tokens.windows(starts, length=length), expected):
        raise IncorrectError("Windows over the files differ from the tokens in memory.")
    num_sequences = (len(whole) - 1) // settings.sequence_tokens
    steps = num_sequences // settings.batch_size
    seen = np.concatenate([batch(corpus, settings, step=step, sampling="epochs") for step in range(steps)])
    every = np.stack([whole[at * settings.sequence_tokens :][:length] for at in range(num_sequences)])
    distinct, distinct_of_all = len(np.unique(seen, axis=0)), len(np.unique(every, axis=0))
    # Not every sequence of the text is one of a kind.
    if len(seen) - distinct > num_sequences - distinct_of_all:
        raise IncorrectError(f"An epoch of {num_sequences} sequences repeats {len(seen) - distinct} of them.")


def batch(corpus: Corpus, settings: TrainingSettings, *, step: int, sampling: Sampling) -> NDArray[np.int64]:
    """Return what a training step takes."""
    return training_batch(
        corpus,
        step=step,
        seed=0,
        batch_size=settings.batch_size,
        sequence_tokens=settings.sequence_tokens,
        sampling=sampling,
    )


def loader_rate(corpus: Corpus, settings: TrainingSettings, *, sampling: Sampling) -> float:
    """Return the tokens a second of assembling batches, from the first step on."""
    started = time.perf_counter()
    for step in range(_BATCHES):
        batch(corpus, settings, step=step, sampling=sampling)
    return _BATCHES * settings.tokens_per_step / (time.perf_counter() - started)


def benchmark(options: Options) -> Document:
    """Prepare, check, and time both sides in turns."""
    is_gpu = options.device == "cuda"
    settings = TrainingSettings(
        batch_size=32 if is_gpu else 2, sequence_tokens=1024 if is_gpu else 256, device=options.device
    )
    architecture = architecture_from_pattern(PATTERN, hidden_size=HIDDEN_SIZE, vocab_size=VOCAB_SIZE)
    rates: dict[str, list[float]] = {name: [] for name in (*SAMPLINGS, "training")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shards"
        prepared = prepare(folder, sequence_tokens=settings.sequence_tokens)
        corpus = prepared.corpus
        check(corpus, folder, settings)
        for _ in range(_ROUNDS):
            for sampling in SAMPLINGS:
                rates[sampling].append(loader_rate(corpus, settings, sampling=sampling))
            step_s = seconds_per_step(architecture, corpus=corpus, settings=settings)
            if not step_s:
                raise IncorrectError(f"A training step must take time; it took {step_s}.")
            rates["training"].append(settings.tokens_per_step / step_s)
    figures = {
        f"{name}: {aspect}": Figure(value=float(np.quantile(found, share)), unit="tokens/s")
        for name, found in rates.items()
        for aspect, share in (("p20", 0.2), ("median", 0.5), ("p80", 0.8))
    }
    figures |= {
        "tokenizer of 8192 learnt from the library": Figure(value=prepared.tokenizer_s, unit="s"),
        "shards of the library": Figure(value=prepared.shards_s, unit="s"),
        "tokens": Figure(value=corpus.train.num_tokens + corpus.validation.num_tokens, unit=""),
    }
    return Document(
        benchmark="loader",
        device=describe_device(options.device, num_threads=settings.num_threads),
        versions=versions("numpy", "tokenizers", "torch"),
        figures=figures,
        claims=[
            Claim.at_least(
                f"{sampling}: tokens a second from shards over those training takes",
                value=median(
                    loaded / trained for loaded, trained in zip(rates[sampling], rates["training"], strict=True)
                ),
                bound=LEAST_RATIO,
            )
            for sampling in SAMPLINGS
        ],
    )


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Batches from shards against training.", devices=("cpu", "cuda")))
