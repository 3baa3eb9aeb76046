"""The history of a search as an Optuna study in memory, from which Optuna's samplers draw.

No record: the study on disk (`study.py`) is that, and holds with each candidate what is needed to make this again. What
has no parameters, as given genomes and random ones, is left out: samplers recombine only what all trials have.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.candidates import Candidate, History, Record
from nas.evolution.strategy import Problem
from search_spaces import SuggestingSpace

G = TypeVar("G", bound=Hashable)

MakeSampler = Callable[[int], BaseSampler]
"""Makes a sampler from a seed."""


def nsga2_sampler(population_size: int) -> MakeSampler:
    """Return what makes an NSGA-II sampler."""
    return partial(_nsga2_sampler, population_size)


def tpe_sampler(seed: int) -> BaseSampler:
    """Return a TPE sampler of all parameters at once.

    Of one at a time, which is Optuna's choice for several objectives, was no better than random search, and slower.
    """
    return TPESampler(seed=seed, multivariate=True)


def _nsga2_sampler(population_size: int, seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=population_size, seed=seed)


@dataclass(frozen=True, slots=True)
class Drawn(Generic[G]):
    """A genome and the trial that it was drawn with."""

    genome: G
    trial: FrozenTrial


class OptunaTrials(Generic[G]):
    """Grows with the history."""

    def __init__(self, problem: Problem[G]) -> None:
        self._problem = problem
        self._storage = InMemoryStorage()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would announce the study on standard error
        self._study = optuna.create_study(storage=self._storage, directions=["minimize"] * len(problem.objectives))
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._fingerprints: dict[int, str] = {}
        self._trial_ids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._running: set[int] = set()
        self._unrecorded: set[str] = set()

    def follow(self, history: History[G], in_flight: Sequence[Candidate[G]]) -> bool:
        """Take in what is new; false where these trials are no earlier state of that history."""
        records = {record.number: record for record in history}
        candidates = {record.number: record.candidate for record in history} | {c.number: c for c in in_flight}
        for number, fingerprint in self._fingerprints.items():
            is_known = number in candidates and candidates[number].fingerprint == fingerprint
            if not is_known or (number not in records and number not in self._running):
                return False
        for number in sorted(candidates.keys() - self._fingerprints.keys()):
            self._add(candidates[number])
        for number in sorted(self._running & records.keys()):
            self._tell(records[number])
        return True

    def draw(self, make_sampler: MakeSampler, *, seed: int) -> Drawn[G] | None:
        """Return what a new sampler suggests, or none where the space rejects its parameters.

        Nothing of a draw remains but what the sampler notes about earlier trials, such as which are parents.
        """
        self._study.sampler = make_sampler(seed)
        before = set(self._storage.get_study_system_attrs(self._study_id))
        with _quiet():
            trial = self._study.ask()
            try:
                genome = cast(SuggestingSpace[G], self._problem.space).suggest(trial)
            except optuna.TrialPruned:
                return None
            finally:
                self._unrecorded |= self._storage.get_study_system_attrs(self._study_id).keys() - before
                self._study.tell(trial, state=TrialState.FAIL)
        return Drawn(genome, self._study.get_trials(deepcopy=False)[trial.number])

    def record(self, drawn: Drawn[G] | None) -> dict[str, Any]:
        """Return, JSON-ready, what is to be kept with the proposal that came of the latest draws."""
        attributes = self._storage.get_study_system_attrs(self._study_id)
        # NSGA-II notes the parents of a generation as ids, which are these trials' own; numbers outlast them.
        notes = {key: [self._numbers[trial_id] for trial_id in attributes[key]] for key in sorted(self._unrecorded)}
        self._unrecorded.clear()
        content: dict[str, Any] = {"notes": notes} if notes else {}
        if drawn is not None:
            content["parameters"] = dict(drawn.trial.params)
            content["distributions"] = {
                name: json.loads(distribution_to_json(distribution))
                for name, distribution in drawn.trial.distributions.items()
            }
            content["attributes"] = dict(drawn.trial.system_attrs)
        return content

    def _add(self, candidate: Candidate[G]) -> None:
        content = candidate.proposal.sampling
        self._fingerprints[candidate.number] = candidate.fingerprint
        self._running.add(candidate.number)
        for key, numbers in content.get("notes", {}).items():
            trial_ids = [self._trial_ids[number] for number in numbers]
            self._storage.set_study_system_attr(self._study_id, key, trial_ids)
        if "parameters" not in content:
            return
        template = create_trial(
            state=TrialState.RUNNING,
            params=content["parameters"],
            distributions={
                name: json_to_distribution(json.dumps(distribution))
                for name, distribution in content["distributions"].items()
            },
            system_attrs=dict(content["attributes"]),
        )
        trial_id = self._storage.create_new_trial(self._study_id, template_trial=template)
        self._trial_ids[candidate.number] = trial_id
        self._numbers[trial_id] = candidate.number

    def _tell(self, record: Record[G]) -> None:
        self._running.discard(record.number)
        trial_id = self._trial_ids.get(record.number)
        if trial_id is None:
            return
        if record.status in ("failed", "stopped"):
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
            return
        problem = self._problem
        for name, bound in problem.constraints.items():
            # The cheap ones are met by all that was drawn.
            if name in problem.expensive:
                # As `Trial.set_constraint` writes it: above zero is broken, and by so much.
                excess = record.objectives[name] - bound
                self._storage.set_trial_system_attr(trial_id, f"constraints:{name}", excess)
        values = [record.objectives[name] for name in problem.objectives]
        self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)


@contextmanager
def _quiet() -> Iterator[None]:
    # TPE would say of every parameter that only some trials have that it draws it independently.
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
