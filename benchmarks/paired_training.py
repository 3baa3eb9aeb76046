"""The same model with and without one change, fairly: equal sweeps of the learning rate, then seeds at each one's best.

Every family is trained in both arms at every rate of one grid, which grows for both where either does best at its edge.
At its best rate each arm then meets seeds it has not seen, and the difference is taken seed by seed, over the whole
curve, since a change may lose early and win late. What is changed the caller says; trainings are kept on disk.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy import stats

from benchmarks.document import Claim, Figure, IncorrectError
from benchmarks.resumable import Deadline
from dashboards.pages.paired import PairedCurves, write_paired_page
from operators.cost import flops_per_token
from operators.kernel_revision import KERNEL_REVISION
from proxies.data import Corpus, load_corpus
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from search_spaces.architecture import Architecture

RATE_STEP: Final = 2.0
"""Neighbours of a grid of learning rates are this factor apart."""

MOST_EXTENSIONS: Final = 3
COVERED: Final = 0.95
"""Of the intervals, by Student's t over seeds."""

SWEEP_SEED: Final = 0
KEPT: Final = "trainings.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One side of the comparison: what it trains and how, for any family."""

    name: str
    settings: Mapping[str, Any]
    """Fields of `TrainingSettings` that this arm sets."""

    num_meta_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is compared; the second arm is the first with the change."""

    arms: tuple[Arm, Arm]
    families: Mapping[str, Architecture]
    settings: TrainingSettings
    rates: tuple[float, ...]
    """The grid every family and both arms begin with, ascending."""

    num_seeds: int
    corpus: str
    """As `load_corpus` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training."""

    family: str
    arm: str
    architecture: Architecture
    settings: TrainingSettings
    seed: int
    corpus: str

    def key(self) -> str:
        """Name everything its outcome depends on."""
        return json.dumps(
            {
                "architecture": self.architecture.fingerprint(),
                "settings": self.settings.to_dict(),
                "seed": self.seed,
                "corpus": self.corpus,
                "torch": torch.__version__,
                "kernels": KERNEL_REVISION,
            },
            sort_keys=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a training went."""

    tokens: tuple[int, ...]
    """At its validations."""

    losses: tuple[float, ...]
    """Validation losses there, nats per token; empty where it diverged."""

    seconds: float

    @property
    def final(self) -> float:
        """The loss at the end; infinite after a divergence."""
        return self.losses[-1] if self.losses else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Differences of one family, second arm minus first, over seeds: below zero the change wins."""

    tokens: tuple[int, ...]
    first: tuple[tuple[float, ...], ...]
    """Losses [seeds, validations]."""

    second: tuple[tuple[float, ...], ...]

    @property
    def differences(self) -> Any:
        """Return the differences [seeds, validations]."""
        return np.array(self.second) - np.array(self.first)

    def interval(self, index: int) -> tuple[float, float, float]:
        """Return the mean difference at a validation and both ends of its interval."""
        values = self.differences[:, index]
        half = stats.t.ppf((1 + COVERED) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
        return float(values.mean()), float(values.mean() - half), float(values.mean() + half)

    @property
    def crossings(self) -> tuple[float, ...]:
        """Tokens at which the mean difference changes its sign, interpolated."""
        means = self.differences.mean(axis=0)
        return tuple(
            float(left + (right - left) * before / (before - after))
            for (left, right), (before, after) in zip(pairwise(self.tokens), pairwise(means), strict=True)
            if before * after < 0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a plan came to."""

    sweeps: Mapping[str, Mapping[str, Mapping[float, float]]]
    """Final loss by family, arm and rate."""

    best: Mapping[str, Mapping[str, float]]
    """Rate by family and arm."""

    paired: Mapping[str, Paired]


def compare(plan: Plan, *, keep: Path, num_processes: int, deadline: Deadline) -> Compared:
    """Sweep, then train both arms of every family under every seed.

    Raises:
        MoreToDoError: time ran out; what was trained is kept.
        IncorrectError: an arm of a family diverges at every rate, or at its best one under another seed.
    """
    with _trainer(keep, num_processes=num_processes, deadline=deadline) as train:
        grids = {family: list(plan.rates) for family in plan.families}
        sweeps: dict[str, dict[str, dict[float, float]]] = {
            family: {arm.name: {} for arm in plan.arms} for family in plan.families
        }
        for _ in range(1 + MOST_EXTENSIONS):
            jobs = {
                (family, arm.name, rate): _job(plan, family, arm, rate=rate, seed=SWEEP_SEED)
                for family, rates in grids.items()
                for arm in plan.arms
                for rate in rates
                if rate not in sweeps[family][arm.name]
            }
            if not jobs:
                break
            for (family, name, rate), trained in zip(jobs, train(list(jobs.values())), strict=True):
                sweeps[family][name][rate] = trained.final
            for family, rates in grids.items():
                bests = {_best(sweeps[family][arm.name], f"{family}, {arm.name}") for arm in plan.arms}
                rates[:0] = [rates[0] / RATE_STEP] if rates[0] in bests else []
                rates += [rates[-1] * RATE_STEP] if rates[-1] in bests else []
        best = {
            family: {name: _best(found, f"{family}, {name}") for name, found in arms.items()}
            for family, arms in sweeps.items()
        }
        jobs_of = {
            (family, arm.name): [
                _job(plan, family, arm, rate=best[family][arm.name], seed=SWEEP_SEED + 1 + seed)
                for seed in range(plan.num_seeds)
            ]
            for family in plan.families
            for arm in plan.arms
        }
        found = iter(train([job for jobs in jobs_of.values() for job in jobs]))
        finals = {key: [next(found) for _ in jobs] for key, jobs in jobs_of.items()}
    for (family, name), ended in finals.items():
        if not all(one.losses for one in ended):
            raise IncorrectError(f"{family}, {name} diverges at its best rate under another seed: {best[family][name]}")
    return Compared(
        sweeps=sweeps,
        best=best,
        paired={
            family: Paired(
                tokens=finals[family, plan.arms[0].name][0].tokens,
                first=tuple(one.losses for one in finals[family, plan.arms[0].name]),
                second=tuple(one.losses for one in finals[family, plan.arms[1].name]),
            )
            for family in plan.families
        },
    )


def figures(plan: Plan, found: Compared) -> dict[str, Figure]:
    """Return the tables of a document: ends, curves, sweeps."""
    first, second = (arm.name for arm in plan.arms)
    result: dict[str, Figure] = {"seeds": Figure(value=plan.num_seeds, unit="")}
    for family, paired in found.paired.items():
        mean, low, high = paired.interval(-1)
        favoured = float((paired.differences[:, -1] < 0).sum())
        result |= {
            f"{family}: {first}": Figure(value=float(np.mean([losses[-1] for losses in paired.first])), unit="nats"),
            f"{family}: {second}": Figure(value=float(np.mean([losses[-1] for losses in paired.second])), unit="nats"),
            f"{family}: difference": Figure(value=mean, unit="nats"),
            f"{family}: from": Figure(value=low, unit="nats"),
            f"{family}: to": Figure(value=high, unit="nats"),
            f"{family}: seeds for the change": Figure(value=favoured, unit=""),
            f"{family}: sign changes of the mean": Figure(value=len(paired.crossings), unit=""),
        }
        if paired.crossings:
            result[f"{family}: last crossing"] = Figure(value=paired.crossings[-1] / 1e3, unit="k tokens")
    for family, paired in found.paired.items():
        for index, tokens in enumerate(paired.tokens):
            mean, low, high = paired.interval(index)
            row = f"{family} after {tokens / 1e3:.4g}k tokens"
            result |= {
                f"{row}: difference": Figure(value=mean, unit="nats"),
                f"{row}: from": Figure(value=low, unit="nats"),
                f"{row}: to": Figure(value=high, unit="nats"),
            }
    for family, arms in found.sweeps.items():
        for rate in sorted(arms[first]):
            for name in (first, second):
                if math.isfinite(loss := arms[name][rate]):
                    result[f"{family} at rate {rate:g}: {name}"] = Figure(value=loss, unit="nats")
    return result


def claims(plan: Plan, found: Compared) -> list[Claim]:
    """Return what makes the comparison a fair one. Who wins is no claim."""
    first, second = (arm.name for arm in plan.arms)
    unequal = sum(arms[first].keys() != arms[second].keys() for arms in found.sweeps.values())
    edges = sum(
        found.best[family][name] in (min(arms[name]), max(arms[name]))
        for family, arms in found.sweeps.items()
        for name in (first, second)
    )
    wide = sum(
        not all(math.isfinite(value) for index in range(len(paired.tokens)) for value in paired.interval(index))
        for paired in found.paired.values()
    )
    return [
        Claim.at_most("families whose arms met other learning rates", value=unequal, bound=0),
        Claim.at_most("best learning rates at an edge of their grid", value=edges, bound=0),
        Claim.at_most("differences without a finite interval", value=wide, bound=0),
    ]


def sentences(found: Compared) -> list[str]:
    """Return what the comparison came to, a sentence a family."""
    result = []
    for family, paired in found.paired.items():
        mean, low, high = paired.interval(-1)
        outcome = "undecided" if low <= 0 <= high else "the change wins" if mean < 0 else "the change loses"
        crossed = f", last crossing after {paired.crossings[-1]:,.0f} tokens" if paired.crossings else ""
        result.append(f"{family}: {mean:+.4f} nats, {low:+.4f} to {high:+.4f}: {outcome}{crossed}.")
    return result


def write_picture(plan: Plan, found: Compared, path: Path, *, title: str) -> None:
    """Write the curves as a page that works offline, and say where and what was found."""
    curves = []
    for family, paired in found.paired.items():
        intervals = [paired.interval(index) for index in range(len(paired.tokens))]
        curves.append(
            PairedCurves(
                name=family,
                tokens=paired.tokens,
                without=np.mean(paired.first, axis=0).tolist(),
                with_it=np.mean(paired.second, axis=0).tolist(),
                difference=[mean for mean, _, _ in intervals],
                low=[low for _, low, _ in intervals],
                high=[high for _, _, high in intervals],
            )
        )
    words = sentences(found)
    write_paired_page(curves, path, title=title, arms=(plan.arms[0].name, plan.arms[1].name), words=words)
    sys.stderr.write("".join(f"{sentence}\n" for sentence in (*words, f"The curves: {path}")))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a comparison may be told beside what every benchmark is."""
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="on a CPU; each a thread")
    parser.add_argument("--corpus", help="text or tokens:FOLDER; the standard library on a CPU if left out")


def _job(plan: Plan, family: str, arm: Arm, *, rate: float, seed: int) -> Job:
    return Job(
        family=family,
        arm=arm.name,
        architecture=replace(plan.families[family], num_meta_tokens=arm.num_meta_tokens),
        settings=replace(plan.settings, learning_rate=rate, **arm.settings),
        seed=seed,
        corpus=plan.corpus,
    )


def _best(losses: Mapping[float, float], where: str) -> float:
    best = min(losses, key=lambda rate: losses[rate])
    if not math.isfinite(losses[best]):
        raise IncorrectError(f"{where} diverges at every learning rate of {', '.join(f'{rate:g}' for rate in losses)}.")
    return best


@contextmanager
def _trainer(keep: Path, *, num_processes: int, deadline: Deadline) -> Iterator[Any]:
    """Give what trains jobs, in processes, and returns their outcomes in order; each is kept at once."""
    path = keep / KEPT
    kept = dict(_read(path))
    keep.mkdir(parents=True, exist_ok=True)

    def train(jobs: Sequence[Job]) -> list[Trained]:
        # The longest first, so that no process is left with one at the end.
        todo = sorted((job for job in jobs if job.key() not in kept), key=_cost, reverse=True)
        for done, (job, trained) in enumerate(_trained(todo, pool, num_processes, deadline), start=1):
            kept[job.key()] = trained
            with path.open("a", encoding="utf-8") as file:
                # Begins with a line's end, so that a line cut off by a kill does not swallow this one.
                file.write(f"\n{json.dumps({'key': job.key(), **asdict(trained)})}")
            sys.stderr.write(
                f"{done}/{len(todo)} {job.family}, {job.arm}, rate {job.settings.learning_rate:g}, seed {job.seed}: "
                f"{trained.final:.4f} in {trained.seconds:.0f} s\n"
            )
        return [kept[job.key()] for job in jobs]

    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        yield train


def _trained(
    jobs: Sequence[Job], pool: ProcessPoolExecutor, num_processes: int, deadline: Deadline
) -> Iterator[tuple[Job, Trained]]:
    waiting = list(jobs)
    running: dict[Future[Trained], Job] = {}
    while waiting or running:
        # No more under way than processes: nothing is begun after the deadline, and what was begun is kept.
        while waiting and len(running) < num_processes and not deadline.is_over:
            job = waiting.pop(0)
            running[pool.submit(_train, job)] = job
        if not running:
            deadline.check(f"{len(waiting)} trainings")
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def _train(job: Job) -> Trained:
    result = short_training(job.architecture, corpus=_corpus(job), settings=job.settings, seed=job.seed)
    if result.status not in ("finished", "diverged"):
        raise IncorrectError(f"Every model must train; {job.architecture.pattern} did not: {result.message}")
    points = [point for point in result.curve if point.validation_loss is not None]
    return Trained(
        tokens=tuple(point.tokens for point in points) if result.status == "finished" else (),
        losses=tuple(float(point.validation_loss or 0.0) for point in points) if result.status == "finished" else (),
        seconds=result.seconds,
    )


def _corpus(job: Job) -> Corpus:
    return _loaded(job.corpus, job.settings.sequence_tokens)


@lru_cache(maxsize=1)
def _loaded(uri: str, sequence_tokens: int) -> Corpus:
    return load_corpus(uri, sequence_tokens=sequence_tokens)


def _cost(job: Job) -> float:
    return job.settings.total_tokens * flops_per_token(job.architecture, context_tokens=0)


def _read(path: Path) -> Iterable[tuple[str, Trained]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            # The line a killed run was writing, or an empty one.
            continue
        yield (
            entry["key"],
            Trained(tokens=tuple(entry["tokens"]), losses=tuple(entry["losses"]), seconds=entry["seconds"]),
        )
