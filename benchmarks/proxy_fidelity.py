"""How well the proxy as it is shipped ranks small hybrids, against ten times as much training of each.

Random hybrids of a space that is stated here, half of them of one size, under one common seed: the same order of text
for all. What is learnt from a model is never used to judge that model. Says nothing of models a thousand times as
large; how a space of your own fares, `nas proxy fidelity` measures.
"""

import argparse
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is imported; the models train one thread each

import numpy as np
import torch

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from operators.cost import flops_per_token, num_parameters
from proxies.data import Corpus, load_corpus
from proxies.fidelity import EQUAL_PARAMETERS, agreement, probability_of_beating
from proxies.projection import out_of_sample, prior_projection
from proxies.saliency import score_initialization
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from proxies.tokenizers import ByteTokenizer
from proxies.traits import Traits, traits_of
from proxies.zero_cost import ZERO_COST_SCORES, size_scores
from search_spaces import Architecture, architecture_from_pattern
from search_spaces.dimensions import Dimensions

SHORT: Final = TrainingSettings(device="cpu")
"""The defaults, which are the proxy that a search takes where nothing else is said."""

TIMES: Final = 10
LONG: Final = replace(SHORT, steps=TIMES * SHORT.steps)

NUM_MODELS: Final = 32
NUM_MODELS_FULL: Final = 96
POPULATION: Final = 2
"""Seed of the models; what was tried on the way was tried on models of other seeds."""

SEED: Final = 0
"""Of initial weights and order of text, for every model and both lengths."""

RECURRENT: Final = ("m2", "d", "gd")
MIXERS: Final = ("a", "w", *RECURRENT)
WIDTHS: Final = (32, 48, 64, 80)
DEPTHS: Final = range(3, 9)
FFN_SHARE: Final = 0.6
"""How often an FFN follows a mixer."""

WINDOW: Final = 64
EQUAL_SIZE: Final = 100_000
"""Parameters of the half that is of one size, more or less `EQUAL_PARAMETERS`."""

PROXY: Final = "short training, projected"
RAW: Final = "short training"
UNLEARNT: Final = "short training, projected by the prior"
NON_EMBEDDING: Final = "num_non_embedding_parameters"

Job = tuple[Architecture, TrainingSettings]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What one training gave."""

    perplexity: float
    cpu_s: float
    """Of one core."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One hybrid and what is known of it."""

    is_equal: bool
    num_parameters: float
    traits: Traits
    short: float
    """Perplexity after the short training."""

    long: float
    """Perplexity after the long one."""

    cpu_s: float
    """Both took of one core."""

    free: Mapping[str, float]
    """Scores without training, by name; minimised."""


def benchmark(options: Options, *, keep: Path | None = None) -> Document:
    """Train every model twice, then compare what is known after the short training with what the long one gives."""
    models = population(NUM_MODELS_FULL if options.full else NUM_MODELS, seed=POPULATION)
    _check_repeats(models[0][0])
    trained = train_all(models, keep=keep)
    figures, claims = compare(trained)
    run = {
        "models": Figure(value=len(trained), unit=""),
        "models of one size": Figure(value=sum(model.is_equal for model in trained), unit=""),
        "tokens of the short training": Figure(value=SHORT.total_tokens, unit=""),
        "tokens of the long training": Figure(value=LONG.total_tokens, unit=""),
        "time of one core": Figure(value=sum(model.cpu_s for model in trained) / 60, unit="min"),
    }
    return Document(
        benchmark="proxy_fidelity",
        device=describe_device("cpu", num_threads=num_cores()),
        versions=versions("torch", "numpy", "scipy"),
        figures=run | figures,
        claims=claims,
    )


def population(num_models: int, *, seed: int) -> list[tuple[Architecture, bool]]:
    """Return distinct random hybrids, the second half of them of one size, and which these are.

    Each has a mixer that recurs: attention of these dimensions does not see positions, and models of nothing else stay
    at twice the perplexity, where any score tells them from the others.
    """
    rng = random.Random(seed)
    found: dict[str, tuple[Architecture, bool]] = {}
    for is_equal, enough in ((False, num_models - num_models // 2), (True, num_models)):
        while len(found) < enough:
            letters, model = _draw(rng)
            if not set(RECURRENT) & set(letters):
                continue
            if is_equal and abs(num_parameters(model) / EQUAL_SIZE - 1) > EQUAL_PARAMETERS:
                continue
            found.setdefault(model.fingerprint(), (model, is_equal))
    return list(found.values())


def _draw(rng: random.Random) -> tuple[list[str], Architecture]:
    """Return one to three kinds of mixers in random order, FFNs after most of them, as letters and built."""
    mixers = rng.sample(MIXERS, k=rng.randint(1, 3))
    depth = rng.choice(DEPTHS)
    letters: list[str] = []
    while len(letters) < depth:
        letters.append(rng.choice(mixers))
        if len(letters) < depth and rng.random() < FFN_SHARE:
            letters.append("f")
    rules = Dimensions(head_dim=16, mamba_head_dim=32, mamba_state_size=64, window=WINDOW if "w" in letters else None)
    return letters, architecture_from_pattern(
        " ".join(letters), hidden_size=rng.choice(WIDTHS), vocab_size=ByteTokenizer().vocab_size, dimensions=rules
    )


def train_all(
    models: Sequence[tuple[Architecture, bool]],
    *,
    short: TrainingSettings = SHORT,
    long: TrainingSettings = LONG,
    num_processes: int | None = None,
    keep: Path | None = None,
) -> list[Model]:
    """Train every model for the short and the long time, one process a core unless it is said how many.

    Args:
        models: which, and whether each is one of those of one size.
        short: the proxy.
        long: what it is held against.
        num_processes: at a time.
        keep: a file of lines of JSON for what was trained; what it holds already is not trained again.
    """
    jobs: list[Job] = [(model, settings) for settings in (long, short) for model, _ in models]
    with ProcessPoolExecutor(num_processes or num_cores(), mp_context=get_context("spawn")) as pool:
        trained = _train_missing(pool, jobs, keep=keep)
        free = list(pool.map(_score, [(model, short) for model, _ in models]))
    longs, shorts = trained[: len(models)], trained[len(models) :]
    return [
        Model(
            is_equal=is_equal,
            num_parameters=float(num_parameters(model)),
            traits=traits_of(model),
            short=shorts[place].perplexity,
            long=longs[place].perplexity,
            cpu_s=shorts[place].cpu_s + longs[place].cpu_s,
            free=free[place],
        )
        for place, (model, is_equal) in enumerate(models)
    ]


def _train_missing(pool: ProcessPoolExecutor, jobs: Sequence[Job], *, keep: Path | None) -> list[Trained]:
    names = [_name(job) for job in jobs]
    known: dict[str, Trained] = {}
    if keep is not None and keep.exists():
        for line in keep.read_text(encoding="utf-8").splitlines():
            content = json.loads(line)
            name = content.pop("name")
            known[name] = Trained(**content)
    # What takes longest goes first, so that no process ends long after the others.
    absent = sorted((job for job, name in zip(jobs, names, strict=True) if name not in known), key=_work, reverse=True)
    futures = {pool.submit(_train, job): _name(job) for job in absent}
    for done, future in enumerate(as_completed(futures), start=1):
        name = futures[future]
        known[name] = future.result()
        if keep is not None:
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, **asdict(known[name])}) + "\n")
        sys.stderr.write(f"trained {done} of {len(absent)}\n" if done % 8 == 0 else "")
    return [known[name] for name in names]


def _name(job: Job) -> str:
    """Return what tells a training from every other: another torch may add in another order."""
    model, settings = job
    told = json.dumps([model.fingerprint(), asdict(settings), SEED, torch.__version__])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _work(job: Job) -> float:
    """Return about how long a training takes, in no unit: on a core, operators cost more than their arithmetic."""
    model, settings = job
    return settings.steps * (model.depth + flops_per_token(model, context_tokens=settings.sequence_tokens // 2) / 1e5)


def _train(job: Job) -> Trained:
    model, settings = job
    started = time.process_time()
    result = short_training(model, corpus=_corpus(settings), settings=settings, seed=SEED)
    if result.perplexity is None:
        raise IncorrectError(f"Every model must train to its end; {model.pattern} did not: {result.message}")
    return Trained(perplexity=result.perplexity, cpu_s=time.process_time() - started)


@cache
def _corpus(settings: TrainingSettings) -> Corpus:
    return load_corpus("stdlib", tokenizer=ByteTokenizer(), sequence_tokens=settings.sequence_tokens)


def _score(job: Job) -> dict[str, float]:
    model, settings = job
    scored = score_initialization(model, corpus=_corpus(settings), settings=settings, seed=SEED)
    return size_scores(model, sequence_tokens=settings.sequence_tokens) | scored.scores


def _check_repeats(model: Architecture) -> None:
    """Check that a seed decides a score.

    Raises:
        IncorrectError: it does not.
    """
    first, second = (_train((model, replace(SHORT, steps=10))).perplexity for _ in range(2))
    if first != second:
        raise IncorrectError(f"One seed must give one score; {model.pattern} got {first:g} and {second:g}.")


def compare(models: Sequence[Model]) -> tuple[dict[str, Figure], list[Claim]]:
    """Return how every score ranks all models and those of one size, and what is claimed of the proxy."""
    scores = _scores(models)
    alike = [place for place, model in enumerate(models) if model.is_equal]
    figures = {
        **_spread("all", models),
        **_spread("of one size", [models[place] for place in alike]),
        **_agreements("all", scores, [model.long for model in models]),
        **_agreements(
            "of one size",
            {name: [score[place] for place in alike] for name, score in scores.items()},
            [models[place].long for place in alike],
        ),
    }
    beating = {
        name: probability_of_beating(
            [scores[PROXY][place] for place in alike],
            [scores[name][place] for place in alike],
            [models[place].long for place in alike],
            seed=0,
        )
        for name in (NON_EMBEDDING, RAW)
    }
    figures |= {
        f"draws of one size in which the proxy beats: {name}": Figure(value=100 * share, unit="%")
        for name, share in beating.items()
    }
    claims = [
        Claim.at_least(
            "Spearman of the proxy out of sample, all models", value=figures[f"all, {PROXY}: Spearman"].value, bound=0.9
        ),
        Claim.at_least(
            "Spearman of the proxy out of sample, one size",
            value=figures[f"of one size, {PROXY}: Spearman"].value,
            bound=0.7,
        ),
        Claim.at_least(
            "bootstrap probability of beating non-embedding parameters, one size",
            value=beating[NON_EMBEDDING],
            bound=0.9,
        ),
        Claim.at_most(
            "place of the eventual best in the proxy's order",
            value=figures[f"all, {PROXY}: place of the best"].value,
            bound=3,
        ),
        Claim.at_most("regret of the proxy's first choice, %", value=figures[f"all, {PROXY}: regret"].value, bound=2.0),
    ]
    return figures, claims


def _scores(models: Sequence[Model]) -> dict[str, list[float]]:
    """Return every score of every model, by name; minimised, and never learnt from the model it is of."""
    short = [model.short for model in models]
    traits = [model.traits for model in models]
    prior = prior_projection(traits)
    return {
        PROXY: out_of_sample(short, traits, [model.long for model in models]),
        UNLEARNT: [prior(perplexity, one) for perplexity, one in zip(short, traits, strict=True)],
        RAW: short,
        **{name: [model.free[name] for model in models] for name in ZERO_COST_SCORES},
    }


def _spread(group: str, models: Sequence[Model]) -> dict[str, Figure]:
    """Return how much there is to tell apart."""
    return {
        f"{group}: perplexity, best": Figure(value=min(model.long for model in models), unit=""),
        f"{group}: perplexity, worst": Figure(value=max(model.long for model in models), unit=""),
        f"{group}: parameters, fewest": Figure(value=min(model.num_parameters for model in models), unit=""),
        f"{group}: parameters, most": Figure(value=max(model.num_parameters for model in models), unit=""),
    }


def _agreements(group: str, scores: Mapping[str, Sequence[float]], truth: Sequence[float]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    best = int(np.argmin(truth))
    for name, score in scores.items():
        found = agreement(score, truth, seed=0)
        place = 1 + sum(other < score[best] for other in score)
        figures |= {
            f"{group}, {name}: Spearman": Figure(value=found.spearman.value, unit=""),
            f"{group}, {name}: from": Figure(value=found.spearman.low, unit=""),
            f"{group}, {name}: to": Figure(value=found.spearman.high, unit=""),
            f"{group}, {name}: place of the best": Figure(value=place, unit=""),
            f"{group}, {name}: regret": Figure(value=100 * found.regret, unit="%"),
        }
    return figures


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--keep", type=Path)
    parsed, others = parser.parse_known_args()
    sys.exit(
        main(
            partial(benchmark, keep=parsed.keep),
            description="How the proxy ranks hybrids; with --keep FILE a run that was cut short goes on where it was.",
            arguments=others,
        )
    )
