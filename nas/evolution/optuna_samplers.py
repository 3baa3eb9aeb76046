"""Strategies that leave the choice to Optuna's own samplers: NSGA-II and TPE.

They see the parameters by which a space names its genomes (`SuggestingSpace`), all objectives, and by how much a
constraint on an expensive one was broken. Optuna itself is known only to `optuna_trials.py`, loaded when one draws.
"""

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal
from nas.evolution.initialization import opening_proposal, random_proposal
from nas.evolution.repair import kept_or_fitted
from nas.evolution.strategy import Problem, Strategy, num_proposed, taken_fingerprints

if TYPE_CHECKING:
    from nas.evolution.optuna_trials import MakeSampler, OptunaTrials

G = TypeVar("G", bound=Hashable)

DRAWS: Final = 30
"""So often a sampler is asked for something new and allowed, before a random genome takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled(Strategy[G], Generic[G]):
    """Given genomes first, then what a sampler suggests."""

    problem: Problem[G]

    _kept: "list[OptunaTrials[G]]" = field(default_factory=list, init=False, repr=False, compare=False)
    """The history as Optuna's trials, if any. They can be made again from the history, which takes time."""

    @abstractmethod
    def _sampler(self) -> "MakeSampler":
        """Return what makes the sampler of one draw, from its seed."""

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return `num` proposals."""
        proposed = num_proposed(history, in_flight)
        taken = taken_fingerprints(history, in_flight)
        trials = self._trials(history, in_flight)
        proposals: list[Proposal[G]] = []
        for position in range(proposed, proposed + num):
            opening = opening_proposal(self.problem, position, taken, population_size=0, repair=kept_or_fitted, rng=rng)
            proposals.append(opening or self._drawn(trials, taken, rng=rng))
            taken.add(self.problem.fingerprint(proposals[-1].genome))
        self._kept[:] = [trials]  # only now: what a failed proposal left in them is in no history
        return proposals

    def _trials(self, history: History[G], in_flight: Sequence[Candidate[G]]) -> "OptunaTrials[G]":
        from nas.evolution.optuna_trials import OptunaTrials

        trials = self._kept.pop() if self._kept else OptunaTrials(self.problem)
        if not trials.follow(history, in_flight):
            trials = OptunaTrials(self.problem)
            trials.follow(history, in_flight)
        return trials

    def _drawn(self, trials: "OptunaTrials[G]", taken: set[str], *, rng: np.random.Generator) -> Proposal[G]:
        """Return what the sampler suggests, made to meet the cheap constraints where the space can do that.

        The sampler goes on with the parameters as it gave them, whatever the repair.
        """
        make_sampler = self._sampler()
        for _ in range(DRAWS):
            drawn = trials.draw(make_sampler, seed=int(rng.integers(2**32)))
            if drawn is None or not self.problem.space.contains(drawn.genome):
                continue
            genome = kept_or_fitted(self.problem, drawn.genome)
            if genome is not None and self.problem.fingerprint(genome) not in taken:
                return Proposal(genome=genome, origin="suggested", sampling=trials.record(drawn))
        instead = random_proposal(self.problem, taken, repair=kept_or_fitted, rng=rng)
        return Proposal(genome=instead.genome, origin="random", sampling=trials.record(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class NSGA2(_Sampled[G], Generic[G]):
    """Optuna's NSGA-II [Deb et al. 2002]: generations of crossover and mutation of parameters."""

    population_size: int
    """Candidates of a generation; the first is random."""

    def _sampler(self) -> "MakeSampler":
        from nas.evolution.optuna_trials import nsga2_sampler

        return nsga2_sampler(self.population_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class TPE(_Sampled[G], Generic[G]):
    """Optuna's tree-structured Parzen estimator [Bergstra et al. 2011; Ozaki et al. 2022]."""

    def _sampler(self) -> "MakeSampler":
        from nas.evolution.optuna_trials import tpe_sampler

        return tpe_sampler
