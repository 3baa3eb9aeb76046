"""The winner of a search, trained, against a pure attention and a pure Mamba2 model that the table says are as fast.

Runs the commands a user runs: `nas search` where there is no run yet, `nas train` by one recipe for all, `nas eval` on
text held out, `nas report` for the picture. Each baseline has the width that short training prefers, so that the search
has no shape the baselines were denied. All are scored at every length they were trained at: most tokens are seen at the
shortest, and what a model loses at the longest may be nothing but length. Who wins, and by how much against the seed
noise, is reported and no claim.
"""

import argparse
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from benchmarks.equal_latency import KINDS, TOLERANCE, pure_models
from latency.predict import predict
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.trial_choice import choose_trials
from operators.cost import num_parameters
from proxies.data import load_corpus
from proxies.scale import proxy_scale
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from proxies.tokenizers import ByteTokenizer
from search_spaces.architecture import Architecture

WINNER: Final = "winner"
NUM_SEEDS: Final = 2
STAGES: Final = "[{tokens: 1M, sequence_tokens: 256}, {tokens: 200K, sequence_tokens: 1024, batch_size: 1}]"
FULL_STAGES: Final = "[{tokens: 8M, sequence_tokens: 256}, {tokens: 1600K, sequence_tokens: 1024, batch_size: 1}]"
TOKENS_EVALUATED: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One side of the comparison."""

    name: str
    target: Architecture
    """What is priced."""

    trained: Architecture
    """The same with the vocabulary of the text."""

    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A model's trainings, one a seed."""

    bits_per_byte: tuple[float, ...]
    perplexities: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Bits per byte."""
        return statistics.fmean(self.bits_per_byte)


def benchmark(options: Options, *, run_directory: Path, keep: Path, stages: str | None, num_seeds: int) -> Document:
    """Choose, train, evaluate and compare."""
    num_processes = len(os.sched_getaffinity(0))
    if not RunDirectory(run_directory).config.is_file():
        _say(f"{run_directory} holds no search: searching first, which takes some minutes")
        _nas("search", "quick-cpu", "--run-dir", run_directory)
    run = Run(run_directory)
    models = choose_models(run, num_processes=num_processes)
    for model in models:
        _say(
            f"{model.name}: {model.target.pattern}, width {model.target.hidden_size}, {model.latency_ms:.1f} ms, "
            f"{num_parameters(model.trained):,} parameters as trained"
        )
    stages = stages or (FULL_STAGES if options.full else STAGES)
    # Other models or another length are another comparison.
    described = json.dumps([stages, *(model.trained.fingerprint() for model in models)])
    keep /= hashlib.sha256(described.encode()).hexdigest()[:8]
    jobs = [(model, seed) for seed in range(num_seeds) for model in models]
    train = partial(_train, keep=keep, stages=stages)
    with ThreadPoolExecutor(num_processes) as pool:
        results = list(pool.map(lambda job: train(*job), jobs))
    scores: dict[int, dict[str, Scores]] = {}
    for length in lengths_of(stages):
        texts: dict[str, list[dict[str, Any]]] = {model.name: [] for model in models}
        for (model, _), by_length in zip(jobs, results, strict=True):
            texts[model.name].append(by_length[length])
        scores[length] = {
            name: Scores(
                bits_per_byte=tuple(text["bits_per_byte"] for text in found),
                perplexities=tuple(text["perplexity"] for text in found),
            )
            for name, found in texts.items()
        }
    picture = keep / "winner.html"
    _nas("report", *(_folder(keep, model, seed) for model, seed in jobs), "--output", picture)
    same = [model.name for model in models[1:] if model.target == models[0].target]
    for length, found in scores.items():
        _say(f"Read {length} tokens at once:")
        for sentence in verdicts(found, noise=seed_noise(list(found.values())), same=same):
            _say(sentence)
    _say(f"The curves: {picture}")
    return _document(models, scores, num_threads=num_processes)


def lengths_of(stages: str) -> list[int]:
    """Return the lengths that stages train at, the shortest first."""
    return sorted({int(stage["sequence_tokens"]) for stage in yaml.safe_load(stages)})


def choose_models(run: Run, *, num_processes: int) -> list[Model]:
    """Return the frontier's best model of a run, and of each pure kind the width that short training likes best.

    Raises:
        IncorrectError: no pure model of a kind comes near the winner's latency.
    """
    table, workload, settings = run.table(), run.config.latency.workload, run.config.training_settings()
    record = choose_trials(run.study.history(), "best")[0]
    winner = Architecture.from_dict(record.candidate.description["target"])
    choices: dict[str, list[Architecture]] = {WINNER: [winner]}
    for kind in KINDS:
        choices[kind] = pure_models(kind, winner, space=run.space, workload=workload, table=table)
        if not choices[kind]:
            raise IncorrectError(
                f"No pure {kind} model of the run's widths is within {TOLERANCE:.0%} of the winner's latency."
            )
    short = [model for kind in KINDS for model in choices[kind]]
    _say(f"short training of {len(short)} pure models as fast as the winner")
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        losses = dict(zip(short, pool.map(partial(_short_loss, settings=settings), short), strict=True))
    best = {name: min(models, key=lambda model: losses.get(model, 0.0)) for name, models in choices.items()}
    return [
        Model(
            name=name,
            target=target,
            trained=proxy_scale(target, vocab_size=ByteTokenizer().vocab_size),
            latency_ms=predict(target, workload, table).milliseconds,
        )
        for name, target in best.items()
    ]


def seed_noise(scores: Sequence[Scores]) -> float | None:
    """Return the deviation over seeds of one training's bits per byte, pooled; none where each was trained once."""
    spreads = [statistics.variance(one.bits_per_byte) for one in scores if len(one.bits_per_byte) > 1]
    return math.sqrt(statistics.fmean(spreads)) if spreads else None


def verdicts(scores: dict[str, Scores], *, noise: float | None, same: Collection[str] = ()) -> list[str]:
    """Return a sentence for each baseline: who won, by how much, and how much the seed alone makes.

    Args:
        scores: of the winner and the baselines, by name.
        noise: of one training, see `seed_noise`.
        same: baselines that are the winner itself.
    """
    winner = scores[WINNER]
    sentences = []
    for name, other in scores.items():
        if name == WINNER:
            continue
        if name in same:
            sentences.append(f"The search's winner is itself the pure {name} model: {winner.mean:.4f} bits per byte.")
            continue
        gain = other.mean - winner.mean
        outcome = "beats" if gain > 0 else "loses to"
        words = (
            f"The search's winner {outcome} pure {name} of the same predicted latency by {abs(gain):.4f} bits per byte "
            f"({100 * abs(gain) / other.mean:.1f} %): {winner.mean:.4f} against {other.mean:.4f}"
        )
        if noise is None:
            sentences.append(f"{words}. Seed noise was not measured: each was trained once.")
            continue
        of_difference = noise * math.sqrt(1 / len(winner.bits_per_byte) + 1 / len(other.bits_per_byte))
        settled = "" if abs(gain) > 2 * of_difference else ", which the seed alone could make"
        sentences.append(f"{words}; the seed moves such a difference by {of_difference:.4f}{settled}.")
    return sentences


def _document(models: Sequence[Model], scores: dict[int, dict[str, Scores]], *, num_threads: int) -> Document:
    wanted_ms = models[0].latency_ms
    figures: dict[str, Figure] = {}
    for model in models:
        figures |= {
            f"{model.name}: predicted latency": Figure(value=model.latency_ms, unit="ms"),
            f"{model.name}: width": Figure(value=model.target.hidden_size, unit=""),
            f"{model.name}: operators": Figure(value=model.target.depth, unit=""),
            f"{model.name}: parameters": Figure(value=num_parameters(model.trained), unit=""),
        }
        for length, found in scores.items():
            one = found[model.name]
            figures |= {
                f"{model.name}, {length} tokens: perplexity": Figure(value=statistics.fmean(one.perplexities), unit=""),
                f"{model.name}, {length} tokens: bits per byte": Figure(value=one.mean, unit=""),
                f"{model.name}, {length} tokens: above the winner": Figure(
                    value=one.mean - found[WINNER].mean, unit=""
                ),
            }
    for length, found in scores.items():
        noise = seed_noise(list(found.values()))
        if noise is not None:
            figures[f"seed noise of one training's bits per byte, {length} tokens"] = Figure(value=noise, unit="")
    trainings = [len(one.perplexities) for found in scores.values() for one in found.values()]
    return Document(
        benchmark="winner",
        device=describe_device("cpu", num_threads=num_threads),
        versions=versions("hybridnas", "torch"),
        figures=figures,
        claims=[
            Claim.at_most(
                "how far a baseline's predicted latency is from the winner's, %",
                value=100 * max(abs(model.latency_ms / wanted_ms - 1) for model in models),
                bound=100 * TOLERANCE,
            ),
            Claim.at_most(
                "trainings of one model more than of another",
                value=max(trainings) - min(trainings),
                bound=0,
            ),
        ],
    )


def _short_loss(target: Architecture, settings: TrainingSettings) -> float:
    corpus = load_corpus("stdlib", sequence_tokens=settings.sequence_tokens)
    trained = proxy_scale(target, vocab_size=corpus.tokenizer.vocab_size)
    result = short_training(trained, corpus=corpus, settings=settings, seed=0)
    return math.inf if result.validation_loss is None else result.validation_loss


def _train(model: Model, seed: int, *, keep: Path, stages: str) -> dict[int, dict[str, Any]]:
    """Train once, or go on, and return what held-out text says of it, by the tokens it reads at once."""
    folder = _folder(keep, model, seed)
    spec = keep / f"{model.name}.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(yaml.safe_dump({"architecture": model.trained.to_dict()}), encoding="utf-8")
    recipe = ("--recipe", "quick-cpu", "--set", f"stages={stages}", "--set", f"seed={seed}")
    _nas("train", spec, "--output", folder, "--resume", *recipe)
    text = ("--data", "stdlib", "--max-tokens", TOKENS_EVALUATED)
    found = {
        length: json.loads(_nas("eval", folder, *text, "--sequence-tokens", length, "--json"))["text"]
        for length in lengths_of(stages)
    }
    words = ", ".join(f"{one['bits_per_byte']:.4f} bits per byte at {length} tokens" for length, one in found.items())
    _say(f"{folder.name}: {words}")
    return found


def _folder(keep: Path, model: Model, seed: int) -> Path:
    return keep / f"{model.name}, seed {seed}"


def _nas(*arguments: object) -> str:
    """Run a command of ours on one thread and return what it prints.

    Raises:
        IncorrectError: it fails; what it said is told.
    """
    command = [sys.executable, "-m", "nas.cli.main", *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if result.returncode:
        raise IncorrectError(f"nas {' '.join(map(str, arguments))} ended with {result.returncode}: {result.stderr}")
    return result.stdout


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; what was trained is kept, and an interrupted one goes on."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo"))
    parser.add_argument("--keep", type=Path, default=Path("runs/winner"))
    parser.add_argument("--stages", help="of the recipe quick-cpu")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS)
    parsed, rest = parser.parse_known_args(arguments)
    return main(
        partial(
            benchmark,
            run_directory=parsed.run_dir,
            keep=parsed.keep,
            stages=parsed.stages,
            num_seeds=parsed.seeds,
        ),
        description=(
            "The winner of a search against pure models of the same latency. --run-dir DIR is the search, made if "
            "absent; --keep DIR holds what is trained; --stages and --seeds N say how long and how often."
        ),
        arguments=rest,
    )


if __name__ == "__main__":
    sys.exit(command())
