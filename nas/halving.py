"""Successive halving of trainings without waiting for anybody: who goes on at which rung [arXiv 1810.05934].

Perplexity alone would end every small, fast candidate, and with them half of the frontier. So a candidate is measured
against its rivals, those that cost no more, and goes on if it is among the best of them: what few rivals beat may be on
the frontier. The limits are set when it begins, from what has ended by then; workers ask nobody.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from nas.candidates import Record
from proxies.projection import Projection, fit_projection
from proxies.rungs import Rungs
from proxies.traits import Traits, size_trait

G = TypeVar("G", bound=Hashable)

PARAMETERS: Final = "num_parameters"
"""Of what candidates are priced with: short runs favour small models, and projections correct for it."""

LEAST_AHEAD: Final = (3, 2, 1)
"""So many rivals must be ahead to end a candidate: at the first rung, where losses tell least, at the second, and at
later ones."""

_DRAW: Final = 7_001
"""Keeps the draw of who is left alone apart from that of the strategy, which begins with the same numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A candidate that ended, as far as halving asks about it."""

    cheap: Mapping[str, float]
    losses: tuple[float, ...]
    """Validation losses at the rungs it reached."""

    perplexity: float | None
    """At the end; none if it was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halving:
    """The rule, with its settings."""

    rungs: tuple[float, ...]
    """Where trainings are looked at: shares of the steps, ascending."""

    keep: float
    """Share of its rivals that a candidate must be among the best of to go on."""

    min_seen: int
    """Nothing is stopped at a rung before so many reached it."""

    explore: float
    """Share of candidates that no limit ends: the control group that tells what is lost."""

    costs: tuple[str, ...]
    """What rivals must not be worse in; known without training."""

    def rungs_of(self, cheap: Mapping[str, float], seen: Sequence[Seen], *, seed: int, number: int) -> Rungs:
        """Return where candidate `number` is looked at, and with which losses it goes on there."""
        is_left_alone = np.random.default_rng((seed, number, _DRAW)).random() < self.explore
        limits = tuple(self._limit(rung, cheap, seen) for rung in range(len(self.rungs)))
        return Rungs(shares=self.rungs, limits=limits, is_enforced=not is_left_alone)

    def expected_perplexity(self, cheap: Mapping[str, float], losses: tuple[float, ...], seen: Sequence[Seen]) -> float:
        """Return what the perplexity of a stopped candidate would likely have become."""
        rung = len(losses) - 1
        projection = _projection(rung, [one for one in seen if len(one.losses) > rung])
        perplexity = math.exp(losses[rung])
        return perplexity if projection is None else projection(perplexity, _size(cheap))

    def _limit(self, rung: int, cheap: Mapping[str, float], seen: Sequence[Seen]) -> float | None:
        """Return the highest loss with which a candidate goes on, or none where too little is known."""
        here = [one for one in seen if len(one.losses) > rung]
        rivals = [one for one in here if all(one.cheap[name] <= cheap[name] for name in self.costs)]
        num_going_on = max(LEAST_AHEAD[min(rung, len(LEAST_AHEAD) - 1)], int(self.keep * (len(rivals) + 1)))
        projection = _projection(rung, here)
        if len(here) < self.min_seen or len(rivals) < num_going_on or projection is None:
            return None
        levels = sorted(math.log(projection(math.exp(one.losses[rung]), _size(one.cheap))) for one in rivals)
        # At these parameters a loss of zero is projected to this, and each nat adds the weight.
        offset = math.log(projection(1.0, _size(cheap)))
        limit = (levels[num_going_on - 1] - offset) / projection.perplexity_weight
        return limit if projection.perplexity_weight > 0 and math.isfinite(limit) else None


def seen_in(history: Iterable[Record[Any]], *, objective: str) -> list[Seen]:
    """Return the candidates of a history that were looked at, repeats left out."""
    return [
        Seen(cheap=record.candidate.cheap, losses=losses, perplexity=record.objectives.get(objective))
        for record in history
        if (losses := rung_losses(record)) and not record.is_repeat and record.status != "failed"
    ]


def rung_losses(record: Record[Any]) -> tuple[float, ...]:
    """Return the validation losses of a trial at the rungs it reached."""
    return rung_losses_of(record.details)


def rung_losses_of(details: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the same from an evaluation's details."""
    return tuple(details.get("rung_losses", ()))


def _projection(rung: int, seen: Sequence[Seen]) -> Projection | None:
    """Return how final perplexities follow from those at a rung, or none before any candidate reached its end."""
    ended = [(one.losses[rung], _size(one.cheap), one.perplexity) for one in seen if one.perplexity is not None]
    if not ended:
        return None
    return fit_projection(
        [math.exp(loss) for loss, _, _ in ended],
        [size for _, size, _ in ended],
        [perplexity for _, _, perplexity in ended],
    )


def _size(cheap: Mapping[str, float]) -> Traits:
    """Return all that projections are told of a candidate here: its parameters."""
    return size_trait(cheap[PARAMETERS])
