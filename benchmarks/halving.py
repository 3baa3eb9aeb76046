"""What successive halving saves and loses: learning curves of real trainings, replayed in many orders.

Every model is trained once to its end and validated at the rungs on the way, so that what a stopped one would have
become is known. Costs are arithmetic per token. Seed noise is the deviation of a model's final loss over two seeds.
"""

import math
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from nas.comparison import UnitBox
from nas.config import HalvingConfig
from nas.halving import Halving, Seen
from nas.pareto import frontier_indices, hypervolume
from operators.cost import flops_per_token, num_parameters
from proxies.data import load_corpus
from proxies.rungs import Rungs
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from proxies.tokenizers import ByteTokenizer
from search_spaces import Architecture, architecture_from_pattern
from search_spaces.errors import SpecError

NUM_MODELS = 120
NUM_TWICE = 12
NUM_ORDERS = 50
NUM_PROCESSES = 2
DEFAULT = HalvingConfig()
RUNGS = DEFAULT.rungs
SETTINGS = TrainingSettings(steps=180, sequence_tokens=128, validation_sequences=48, device="cpu")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One model, trained to its end."""

    parameters: float
    cost: float
    losses: tuple[float, ...]
    final: float

    @property
    def cheap(self) -> dict[str, float]:
        """What is known without training."""
        return {"num_parameters": self.parameters, "cost": self.cost}


@dataclass(frozen=True, kw_only=True)
class Replay:
    """One order of candidates."""

    tokens: float
    """As a share of full trainings."""

    excess: float
    """Final loss of the best found above that of all, in nats."""

    hypervolume: float
    """As a share of that of all."""

    reached: tuple[int, ...]
    """Candidates that got to each rung, and to the end."""


def benchmark(options: Options) -> Document:
    """Train the models, then replay halving over them."""
    del options
    models = _models()
    jobs = [(model, 0) for model in models] + [(model, 1) for model in models[:NUM_TWICE]]
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
        trained = []
        for done, result in enumerate(pool.map(_train, jobs), start=1):
            trained.append(result)
            sys.stderr.write(f"trained {done} of {len(jobs)}\n" if done % 20 == 0 else "")
    table, again = trained[:NUM_MODELS], trained[NUM_MODELS:]
    noise = math.sqrt(fmean((a.final - b.final) ** 2 / 2 for a, b in zip(table, again, strict=False)))
    _check_all_go_on(table)
    figures = {"seed noise of the final loss": Figure(value=noise, unit="nats")}
    replays = {}
    for name, explore, num_parallel in (
        ("default", DEFAULT.explore, 1),
        ("default, 8 at a time", DEFAULT.explore, 8),
        ("without control group", 0.0, 1),
    ):
        halving = Halving(**DEFAULT.model_dump() | {"explore": explore}, costs=("cost",))
        found = [_replay(table, halving, seed=seed, num_parallel=num_parallel) for seed in range(NUM_ORDERS)]
        replays[name] = found
        figures |= {
            f"{name}: tokens": Figure(value=fmean(one.tokens for one in found), unit="of full"),
            f"{name}: best above best": Figure(value=fmean(one.excess for one in found), unit="nats"),
            f"{name}: worst order above best": Figure(value=max(one.excess for one in found), unit="nats"),
            f"{name}: hypervolume": Figure(value=fmean(one.hypervolume for one in found), unit="of all"),
            f"{name}: least hypervolume": Figure(value=min(one.hypervolume for one in found), unit="of all"),
        }
    usual, parallel = replays["default"], replays["default, 8 at a time"]
    for rung, share in enumerate(RUNGS):
        here, beyond = (sum(one.reached[place] for one in usual) for place in (rung, rung + 1))
        figures[f"rung {share:g}: going on"] = Figure(value=beyond / here, unit="of those seen")
    return Document(
        benchmark="halving",
        device=describe_device("cpu", num_threads=1),
        versions=versions("torch", "numpy"),
        figures=figures,
        claims=[
            Claim.at_most(
                "tokens, as a share of full trainings, by the default settings",
                value=fmean(one.tokens for one in usual),
                bound=0.4,
            ),
            Claim.at_most("the same, 8 at a time", value=fmean(one.tokens for one in parallel), bound=0.4),
            Claim.at_most(
                "the best found is above the best of all by, in units of the seed noise",
                value=fmean(one.excess for one in usual) / noise,
                bound=1.0,
            ),
            Claim.at_least("hypervolume kept, mean", value=fmean(one.hypervolume for one in usual), bound=0.99),
        ],
    )


def _models() -> list[Architecture]:
    """Return random hybrids of many sizes, each another one."""
    rng = random.Random(1)  # others than the models on whose curves the rule was chosen
    found: dict[str, Architecture] = {}
    while len(found) < NUM_MODELS:
        mixers = rng.sample(("a", "w", "m2", "d", "gd"), k=rng.randint(1, 3))
        letters: list[str] = []
        for _ in range(rng.randint(2, 5)):
            letters += [rng.choice(mixers), *(["f"] if rng.random() < 0.7 else [])]
        try:
            model = architecture_from_pattern(
                " ".join(letters), hidden_size=rng.choice((32, 48, 64, 80)), vocab_size=ByteTokenizer().vocab_size
            )
        except SpecError:
            continue
        found[model.fingerprint()] = model
    return list(found.values())


def _train(job: tuple[Architecture, int]) -> Trained:
    model, seed = job
    corpus = load_corpus("stdlib", tokenizer=ByteTokenizer(), sequence_tokens=SETTINGS.sequence_tokens)
    rungs = Rungs(shares=RUNGS, limits=(None,) * len(RUNGS))
    result = short_training(model, corpus=corpus, settings=SETTINGS, seed=seed, rungs=rungs)
    if result.validation_loss is None:
        raise IncorrectError(f"Every model must train to its end; {model.pattern} did not: {result.message}")
    return Trained(
        parameters=float(num_parameters(model)),
        cost=flops_per_token(model, context_tokens=SETTINGS.sequence_tokens // 2),
        losses=result.rung_losses,
        final=result.validation_loss,
    )


def _replay(table: Sequence[Trained], halving: Halving, *, seed: int, num_parallel: int) -> Replay:
    """Stop candidates in a random order as a search would, which knows only what ended `num_parallel` before."""
    order = random.Random(seed).sample(range(len(table)), k=len(table))
    ended: list[Seen] = []
    finished: list[int] = []
    spent = 0.0
    reached = [0] * (len(RUNGS) + 1)
    for number, index in enumerate(order):
        one = table[index]
        known = ended[: max(0, number + 1 - num_parallel)]
        rungs = halving.rungs_of(one.cheap, known, seed=seed, number=number)
        unmet = rungs.first_unmet(one.losses) if rungs.is_enforced else None
        spent += 1.0 if unmet is None else RUNGS[unmet]
        for rung in range(len(reached) if unmet is None else unmet + 1):
            reached[rung] += 1
        if unmet is None:
            finished.append(index)
            ended.append(Seen(cheap=one.cheap, losses=one.losses, perplexity=math.exp(one.final)))
        else:
            ended.append(Seen(cheap=one.cheap, losses=one.losses[: unmet + 1], perplexity=None))
    return Replay(
        tokens=spent / len(table),
        excess=min(table[index].final for index in finished) - min(one.final for one in table),
        hypervolume=_volume(table, finished) / _volume(table, range(len(table))),
        reached=tuple(reached),
    )


def _volume(table: Sequence[Trained], indices: Sequence[int]) -> float:
    points = [(math.exp(one.final), one.cost) for one in table]
    box = UnitBox(points)
    placed = box.place([points[index] for index in indices])
    return hypervolume([placed[index] for index in frontier_indices(placed)], box.reference)


def _check_all_go_on(table: Sequence[Trained]) -> None:
    """Check that nothing is lost where everything goes on.

    Raises:
        IncorrectError: something is.
    """
    everything = Halving(rungs=RUNGS, keep=1.0, min_seen=6, explore=0.0, costs=("cost",))
    found = _replay(table, everything, seed=0, num_parallel=1)
    if (found.excess, found.hypervolume) != (0.0, 1.0):
        raise IncorrectError(f"Where all rivals may be ahead nothing is lost; got {found}.")


if __name__ == "__main__":
    sys.exit(main(benchmark, description=(__doc__ or "").splitlines()[0]))
