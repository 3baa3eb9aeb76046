"""One row a candidate: what the run says of it, what trainings of other lengths say, and what costs no training."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from nas.candidates import History
from nas.fidelity.plan import FidelityPlan
from nas.fidelity.training import AT_INITIALIZATION, Training
from proxies.traits import Traits, size_trait, traits_of
from proxies.zero_cost import size_scores
from search_spaces import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityRow:
    """One candidate."""

    trial: int
    pattern: str
    is_frontier: bool
    perplexity: float
    """In the run, which ranks by it: of repeated candidates the mean."""

    num_parameters: int
    """Of the model that is trained, with the vocabulary of the text."""

    traits: Traits
    """Of the same model."""

    scores: Mapping[str, float]
    """Without training, by name; minimised."""

    trained: Mapping[float, Mapping[int, float]]
    """Perplexity by length and seed; what failed is missing."""

    def at(self, times: float) -> float | None:
        """Return the geometric mean of the perplexities at a length, none where every training failed."""
        perplexities = self.trained.get(times, {}).values()
        return math.exp(fmean(map(math.log, perplexities))) if perplexities else None

    def once(self, times: float, *, seed: int) -> float | None:
        """Return the perplexity at a length under one seed, as a search would see it."""
        return self.trained.get(times, {}).get(seed)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "trial": self.trial,
            "pattern": self.pattern,
            "is_frontier": self.is_frontier,
            "perplexity": self.perplexity,
            "num_parameters": self.num_parameters,
            "traits": dict(self.traits),
            "flops_per_token": -self.scores["flops_per_token"],
            "scores": dict(self.scores),
            "trained": [
                {"times": times, "seed": seed, "perplexity": perplexity}
                for times, by_seed in sorted(self.trained.items())
                for seed, perplexity in sorted(by_seed.items())
            ],
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "FidelityRow":
        """Read what `to_dict` wrote, or an earlier version, which knew of no traits but the parameters."""
        trained: defaultdict[float, dict[int, float]] = defaultdict(dict)
        for one in mapping["trained"]:
            trained[float(one["times"])][one["seed"]] = one["perplexity"]
        content = {key: value for key, value in mapping.items() if key != "flops_per_token"}
        return cls(**{"traits": size_trait(mapping["num_parameters"])} | content | {"trained": dict(trained)})


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTraining:
    """A training that gave no perplexity."""

    trial: int
    times: float
    seed: int
    kind: str
    message: str


def trained_model(description: Mapping[str, Any]) -> Architecture:
    """Return the architecture that was trained for a candidate, from its description."""
    return Architecture.from_dict(description["proxy"])


def read_rows(
    history: History[Any], trainings: History[Training], plan: FidelityPlan, *, sequence_tokens: int
) -> tuple[list[FidelityRow], list[FailedTraining]]:
    """Return a row for every candidate of a plan, and the plan's trainings that failed.

    Args:
        history: of the run.
        trainings: of whatever was trained for this run; what the plan does not ask for is left out.
        plan: says which candidates, lengths and seeds.
        sequence_tokens: of the trainings, for their FLOPs.
    """
    trained, saliencies = _by_trial(trainings, plan)
    frontier = {record.number for record in history.frontier()}
    rows = []
    for record in sorted(history.finished(), key=lambda record: record.number):
        if record.number not in plan.trials:
            continue
        model = trained_model(record.candidate.description)
        sizes = size_scores(model, sequence_tokens=sequence_tokens)
        rows.append(
            FidelityRow(
                trial=record.number,
                pattern=model.pattern,
                is_frontier=record.number in frontier,
                perplexity=record.objectives["perplexity"],
                num_parameters=round(-sizes["num_parameters"]),
                traits=traits_of(model),
                scores=sizes | saliencies.get(record.number, {}),
                trained=trained[record.number],
            )
        )
    return rows, _failures(trainings, plan)


def _of_plan(training: Training, plan: FidelityPlan) -> bool:
    lengths = (AT_INITIALIZATION, *plan.times)
    return training.trial in plan.trials and training.times in lengths and training.seed in plan.seeds


def _by_trial(
    trainings: Iterable[Any], plan: FidelityPlan
) -> tuple[dict[int, dict[float, dict[int, float]]], dict[int, dict[str, float]]]:
    trained: dict[int, dict[float, dict[int, float]]] = {number: {} for number in plan.trials}
    saliencies: dict[int, dict[str, float]] = {}
    for record in trainings:
        training: Training = record.genome
        if record.status != "finished" or training.trial is None or not _of_plan(training, plan):
            continue
        if training.times == AT_INITIALIZATION:
            saliencies[training.trial] = dict(record.details["scores"])
        else:
            trained[training.trial].setdefault(training.times, {})[training.seed] = record.objectives["perplexity"]
    return trained, saliencies


def _failures(trainings: Iterable[Any], plan: FidelityPlan) -> list[FailedTraining]:
    return [
        FailedTraining(
            trial=record.genome.trial,
            times=record.genome.times,
            seed=record.genome.seed,
            kind=record.failure.kind,
            message=record.failure.message,
        )
        for record in trainings
        if record.failure is not None and _of_plan(record.genome, plan)
    ]
