"""Which candidates of a run are trained for other lengths: half from the frontier, half from good to bad."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np

from nas.candidates import History, Record

SHARE_OF_FRONTIER: Final = 0.5


def choose(history: History[Any], *, num: int, seed: int, already: Collection[int] = ()) -> list[int]:
    """Return the numbers of finished candidates, ascending; of too few all.

    Those of the frontier are spread along it, for which of them are best is what a search is asked; the others are one
    of each stratum by perplexity, for a correlation needs good and bad ones.

    Args:
        history: of the run; repeats are no candidates.
        num: how many.
        seed: of the draw within strata.
        already: were chosen before and stay so; they count.
    """
    finished = {record.number: record for record in history.finished()}
    chosen = [number for number in already if number in finished]
    frontier = [record.number for record in history.frontier() if record.number not in chosen]
    num_left = max(0, num - len(chosen))
    chosen += _spread(frontier, min(len(frontier), int(SHARE_OF_FRONTIER * num_left)))
    rest = [record for number, record in finished.items() if number not in chosen]
    chosen += _one_of_each_stratum(rest, max(0, num - len(chosen)), rng=np.random.default_rng(seed))
    return sorted(chosen)


def _spread(numbers: Sequence[int], num: int) -> list[int]:
    """Return `num` of a list, its ends first."""
    places: list[int] = np.linspace(0, len(numbers) - 1, num).round().astype(int).tolist()
    return [numbers[place] for place in places]


def _one_of_each_stratum(records: Sequence[Record[Any]], num: int, *, rng: np.random.Generator) -> list[int]:
    by_perplexity = sorted(records, key=lambda record: (record.objectives["perplexity"], record.number))
    strata = np.array_split(np.arange(len(by_perplexity)), min(num, len(by_perplexity))) if num and records else []
    return [by_perplexity[int(rng.choice(stratum))].number for stratum in strata]
