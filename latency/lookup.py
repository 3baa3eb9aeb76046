"""Rows prepared for finding and interpolating times: along context and batch, and along nothing else.

It never extrapolates and never guesses an operator from another: what lies outside is `UnmeasuredError`.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from latency.rows import LatencyRow, RowKey
from latency.workload import Phase
from search_spaces.errors import NasError


class UnmeasuredError(NasError, LookupError):
    """The table holds no row for what is asked."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveKey:
    """A `RowKey` without the two axes along which times may be interpolated."""

    part: str
    operator: str = ""
    hidden_size: int
    vocab_size: int = 0
    phase: Phase
    dtype: str
    num_meta_tokens: int = 0

    @classmethod
    def of(cls, key: RowKey) -> "CurveKey":
        """Return the curve a row lies on."""
        return cls(**{field.name: getattr(key, field.name) for field in fields(cls)})


Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Ascending contexts and the median microseconds at each."""


@final
class Lookup:
    """Median microseconds by key, batch and context. Answers are remembered, so repeated operators cost nothing."""

    def __init__(self, rows: Iterable[LatencyRow]) -> None:
        found: dict[CurveKey, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
        for row in rows:
            key = row.key
            found[CurveKey.of(key)][key.batch_size][key.context_tokens] = row.median_us
        self._curves: dict[CurveKey, dict[int, Curve]] = {
            key: {batch: _curve(points) for batch, points in sorted(by_batch.items())}
            for key, by_batch in found.items()
        }
        self._sums: dict[tuple[CurveKey, int, int, int, int | None], float] = {}

    def microseconds(self, key: CurveKey, *, batch_size: int, context_tokens: int) -> float:
        """Return the time of one call.

        Raises:
            UnmeasuredError: no row, or a batch or context outside those measured.
        """
        return self.sum_microseconds(key, batch_size=batch_size, first_context=context_tokens, num_steps=1)

    def knows(self, key: RowKey) -> bool:
        """Return whether there is a time for a row, measured or between those measured."""
        try:
            self.microseconds(CurveKey.of(key), batch_size=key.batch_size, context_tokens=key.context_tokens)
        except UnmeasuredError:
            return False
        return True

    def sum_microseconds(
        self, key: CurveKey, *, batch_size: int, first_context: int, num_steps: int, most_context: int | None = None
    ) -> float:
        """Return the time of `num_steps` calls whose context grows by one token each.

        Contexts above `most_context` count as `most_context`: the cache of a window stops growing there.

        Raises:
            UnmeasuredError: no row, or a batch or context outside those measured.
        """
        question = (key, batch_size, first_context, num_steps, most_context)
        if question not in self._sums:
            contexts, times = self._curve_at(key, batch_size)
            asked = np.arange(first_context, first_context + num_steps, dtype=np.float64)
            if most_context is not None:
                asked = np.minimum(asked, most_context)
            if asked[0] < contexts[0] or asked[-1] > contexts[-1]:
                outside = int(asked[0] if asked[0] < contexts[0] else asked[-1])
                raise UnmeasuredError(
                    f"context {outside} lies outside the measured {int(contexts[0])} to {int(contexts[-1])}"
                )
            self._sums[question] = float(np.interp(asked, contexts, times).sum())
        return self._sums[question]

    def _curve_at(self, key: CurveKey, batch_size: int) -> Curve:
        by_batch = self._curves.get(key)
        if by_batch is None:
            raise UnmeasuredError("no row")
        if batch_size in by_batch:
            return by_batch[batch_size]
        below = max((batch for batch in by_batch if batch < batch_size), default=None)
        above = min((batch for batch in by_batch if batch > batch_size), default=None)
        if below is None or above is None:
            raise UnmeasuredError(f"batch {batch_size} lies outside the measured {', '.join(map(str, by_batch))}")
        low, high = by_batch[below], by_batch[above]
        contexts = np.union1d(low[0], high[0])
        contexts = contexts[(contexts >= max(low[0][0], high[0][0])) & (contexts <= min(low[0][-1], high[0][-1]))]
        if not contexts.size:
            raise UnmeasuredError(f"batches {below} and {above} were measured at contexts that do not overlap")
        share = (batch_size - below) / (above - below)
        return contexts, (1 - share) * np.interp(contexts, *low) + share * np.interp(contexts, *high)


def _curve(points: dict[int, float]) -> Curve:
    contexts = sorted(points)
    return np.array(contexts, dtype=np.float64), np.array([points[context] for context in contexts])
