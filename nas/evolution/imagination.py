"""Offspring that are imagined and judged by a model, of which only the most promising are evaluated."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.candidates import Proposal, Record
from nas.evolution.acquisition import ExpectedGain
from nas.evolution.gaussian_process import GaussianProcess
from nas.evolution.repair import kept_or_fitted
from nas.evolution.strategy import Problem
from nas.evolution.variation import child_of, mutant_of

G = TypeVar("G", bound=Hashable)
Array = NDArray[np.float64]

GENERATIONS: Final = 4
"""Rounds of imagining: in all but the first the most promising so far are the parents."""

_PARENT_SHARE: Final = 10
"""One in so many of the imagined becomes a parent of the next round."""


class Belief(Generic[G]):
    """What evaluated candidates say about others: a process for each expensive objective, in units that suit it."""

    def __init__(
        self,
        problem: Problem[G],
        known: Sequence[Record[G]],
        *,
        worst: Sequence[Record[G]] = (),
        stopped: Sequence[Record[G]] = (),
    ) -> None:
        """Learn from what was evaluated.

        Args:
            problem: what is searched for.
            known: candidates with every objective.
            worst: candidates that failed, in the expensive objectives taken for as bad as the worst that is known.
            stopped: candidates stopped early, of which what is expected stands for the first objective; of further
                expensive ones they say nothing.
        """
        self._problem = problem
        values_NM = np.array([[record.objectives[name] for name in problem.objectives] for record in known])
        self._units = [Unit.of(column) for column in values_NM.T]
        self.points = self._in_units(values_NM)
        features_ND = self._features([record.genome for record in (*known, *worst)])
        highest_M = self.points.max(0)
        self._processes = []
        for place in range(len(problem.expensive)):
            features, values = features_ND, np.append(self.points[:, place], np.full(len(worst), highest_M[place]))
            guessed = [record for record in stopped if record.expected is not None] if place == 0 else []
            if guessed:
                features = np.concatenate([features, self._features([record.genome for record in guessed])])
                values = np.append(values, self._units[0](np.array([record.expected for record in guessed])))
            self._processes.append(GaussianProcess(features, values))

    @property
    def trust(self) -> float:
        """How well the model predicts what it was not shown, from 0 to 1; of several objectives the worst."""
        return max(0.0, min(process.out_of_sample_correlation for process in self._processes))

    def about(self, genomes: Sequence[G]) -> tuple[Array, Array, Array]:
        """Return means and deviations [P, E] of the expensive objectives and the cheap ones [P, C], in the units."""
        features_PD = self._features(genomes)
        beliefs = [process.predict(features_PD) for process in self._processes]
        names = self._problem.cheap_objectives
        prices = (self._problem.cheap(genome) for genome in genomes)
        cheap_PC = np.array([[price[name] for name in names] for price in prices]).reshape(len(genomes), len(names))
        units = self._units[len(self._problem.expensive) :]
        cheap_PC = np.column_stack([unit(column) for unit, column in zip(units, cheap_PC.T, strict=True)] or [cheap_PC])
        return np.column_stack([b[0] for b in beliefs]), np.column_stack([b[1] for b in beliefs]), cheap_PC

    def _features(self, genomes: Sequence[G]) -> Array:
        return np.array([self._problem.space.features(genome) for genome in genomes], dtype=np.float64)

    def _in_units(self, values_NM: Array) -> Array:
        return np.column_stack([unit(column) for unit, column in zip(self._units, values_NM.T, strict=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """How an objective is measured: as it is, or by its logarithm where that spreads its values more evenly."""

    is_logarithmic: bool
    least: float = 0.0
    """Below it a logarithm is that of it: what is yet to be seen may be zero."""

    @classmethod
    def of(cls, values: Array) -> "Unit":
        """Return the unit that suits these values."""
        if values.min() <= 0 or np.ptp(values) == 0:
            return cls(is_logarithmic=False)
        return cls(is_logarithmic=_skewness(np.log(values)) < _skewness(values), least=float(values.min()) / 10)

    def __call__(self, values: Array) -> Array:
        """Return the values in the unit."""
        return np.log(np.maximum(values, self.least)) if self.is_logarithmic else values


def imagine(
    problem: Problem[G],
    parents: Sequence[Record[G]],
    mates: Sequence[Record[G]],
    belief: Belief[G],
    *,
    taken: set[G],
    num_imagined: int,
    batch_size: int,
    rng: np.random.Generator,
) -> list[Proposal[G]]:
    """Return the children of a batch, each promising what those before it do not.

    Args:
        problem: what is searched for.
        parents: whose children are imagined first.
        mates: with whom they are crossed.
        belief: judges them.
        taken: genomes that are not to be proposed again.
        num_imagined: children of one generation.
        batch_size: children asked for; fewer are returned where not so many are new.
        rng: of the batch.
    """
    gain = ExpectedGain(belief.points, num_expensive=len(problem.expensive), rng=rng)
    pool = _Pool(belief, gain)

    def born_of(parent: Record[G]) -> Proposal[G] | None:
        return child_of(problem, parent, mates, repair=kept_or_fitted, rng=rng)

    def born_again(child: Proposal[G]) -> Proposal[G] | None:
        return mutant_of(problem, child, repair=kept_or_fitted, rng=rng)

    pool.add((born_of(parents[int(rng.integers(len(parents)))]) for _ in range(num_imagined)), taken=taken)
    for _ in range(GENERATIONS - 1):
        elders = pool.best(max(batch_size, num_imagined // _PARENT_SHARE))
        if elders:
            pool.add((born_again(elders[int(rng.integers(len(elders)))]) for _ in range(num_imagined)), taken=taken)
    return pool.batch(batch_size)


class _Pool(Generic[G]):
    """Children imagined so far, with what is believed about them."""

    def __init__(self, belief: Belief[G], gain: ExpectedGain) -> None:
        self._belief, self._gain = belief, gain
        self._children: list[Proposal[G]] = []
        self._genomes: set[G] = set()
        self._about: list[tuple[Array, Array, Array]] = []

    def add(self, children: Iterable[Proposal[G] | None], *, taken: set[G]) -> None:
        """Put in the children whose genomes are new."""
        new = {child.genome: child for child in children if child is not None}
        new = {genome: child for genome, child in new.items() if genome not in taken and genome not in self._genomes}
        if new:
            self._children += new.values()
            self._genomes |= set(new)
            self._about.append(self._belief.about(list(new)))

    def best(self, count: int) -> list[Proposal[G]]:
        """Return the most promising."""
        return [self._children[place] for place in np.argsort(-self._gains(), kind="stable")[:count]]

    def batch(self, size: int) -> list[Proposal[G]]:
        """Return the most promising, each chosen as if those before it had been evaluated and were as expected."""
        chosen: list[int] = []
        for _ in range(min(size, len(self._children))):
            gains = self._gains()
            gains[chosen] = -np.inf
            place = int(np.argmax(gains))
            chosen.append(place)
            mean, _, cheap = self._joined()
            self._gain.suppose(mean[place], cheap[place])
        return [self._children[place] for place in chosen]

    def _gains(self) -> Array:
        return self._gain(*self._joined()) if self._children else np.empty(0)

    def _joined(self) -> tuple[Array, Array, Array]:
        mean, deviation, cheap = (np.concatenate(parts) for parts in zip(*self._about, strict=True))
        return mean, deviation, cheap


def _skewness(values: Array) -> float:
    centred = values - values.mean()
    spread = float(centred.std()) ** 3
    return abs(float((centred**3).mean())) / spread if spread else 0.0
