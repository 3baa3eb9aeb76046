"""Which candidates a search trains longer, and when: a round after every so many that finished.

A function of the run's history alone, so that a search that was killed plans the same rounds again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas.candidates import History, Record
from nas.fidelity.plan import FIRST_SEED, FidelityPlan
from nas.fidelity.sample import choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The rule, with its settings."""

    every: int
    """Candidates that finish between two rounds."""

    candidates: int
    """That one round adds; the best so far is among them, if it was not before."""

    times: float
    """Length of the trainings, as a multiple of the run's."""

    seed: int
    """Of the run."""

    def num_due(self, history: History[Any]) -> int:
        """Return how many rounds a history has reached."""
        return sum(map(_counts, history)) // self.every

    def chosen_in(self, position: int, history: History[Any], *, before: Sequence[int]) -> list[int]:
        """Return the trials that round `position`, the first being 1, adds to those chosen before.

        Spread over the ranking as it was when the round was reached, whatever has ended since.
        """
        then = _until(history, num_finished=position * self.every)
        finished = sorted(then.finished(), key=lambda record: (record.objectives["perplexity"], record.number))
        ranked = [record.number for record in finished]
        known = [number for number in before if number in ranked]
        best = [number for number in ranked[:1] if number not in known]
        sample = choose(then, num=len(known) + self.candidates, seed=self.seed + position, already=[*known, *best])
        return [number for number in sample if number not in before]

    def own_plan(self, trials: Sequence[int]) -> FidelityPlan:
        """Return what the rounds train: each trial once, under a seed the run did not use."""
        return FidelityPlan(
            trials=tuple(sorted(trials)), times=(self.times,), num_seeds=1, first_seed=self.seed + FIRST_SEED
        )


def _counts(record: Record[Any]) -> bool:
    return record.status == "finished" and not record.is_repeat


def _until(history: History[Any], *, num_finished: int) -> History[Any]:
    """Return a history as it was when so many candidates had finished."""
    seen, records = 0, []
    for record in history:
        records.append(record)
        seen += _counts(record)
        if seen == num_finished:
            break
    return History(records, objectives=history.objectives, space=history.space)
