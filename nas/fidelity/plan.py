"""What is trained to know how far short training can be trusted: which candidates, how long, how often.

Kept in `fidelity/plan.json`, so that continuing is training the rest of the same, also where the run has grown.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from nas.candidates import History
from nas.errors import StudyError, UsageError
from nas.fidelity.sample import choose
from nas.fidelity.training import AT_INITIALIZATION, Training
from nas.run_directory import write_atomically
from proxies.errors import FidelityError
from proxies.fidelity import LEAST_CANDIDATES

FIRST_SEED: Final = 1000
"""Above the run's own by so much are the seeds here: its repeats are below."""

DEFAULT_CANDIDATES: Final = 24
DEFAULT_TIMES: Final = (0.25, 0.5, 1.0, 4.0, 10.0)
DEFAULT_SEEDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityPlan:
    """Trainings, by what they have in common."""

    trials: tuple[int, ...]
    """Candidates of the run."""

    times: tuple[float, ...]
    """Lengths, as multiples of the run's, ascending."""

    num_seeds: int
    first_seed: int

    @property
    def seeds(self) -> list[int]:
        """Seeds of every candidate at every length."""
        return list(range(self.first_seed, self.first_seed + self.num_seeds))

    def trainings(self, history: History[object]) -> list[Training]:
        """Return every training, the longest first, so that no long one is left alone on a cluster at the end."""
        genomes = {record.number: record.genome for record in history.finished() if record.number in self.trials}
        return [
            Training(trial=number, genome=genome, times=times, seed=seed)
            for times in (*reversed(self.times), AT_INITIALIZATION)
            for seed in (self.seeds if times else self.seeds[:1])
            for number, genome in sorted(genomes.items())
        ]

    def joined_with(self, other: "FidelityPlan | None") -> "FidelityPlan":
        """Return a plan of what either asks for; seeds are the other's, whose trainings may have begun."""
        if other is None:
            return self
        return FidelityPlan(
            trials=tuple(sorted({*self.trials, *other.trials})),
            times=tuple(sorted({*self.times, *other.times})),
            num_seeds=max(self.num_seeds, other.num_seeds),
            first_seed=other.first_seed,
        )

    def save(self, folder: Path) -> None:
        """Write the plan."""
        write_atomically(folder / "plan.json", json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "FidelityPlan | None":
        """Read the plan of a folder; none where there is none.

        Raises:
            StudyError: it cannot be read.
        """
        path = folder / "plan.json"
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**content | {"trials": tuple(content["trials"]), "times": tuple(content["times"])})
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{path} cannot be read: {error!r}. Move {folder} away and begin anew.") from error


def make_plan(
    history: History[object],
    *,
    seed: int,
    before: FidelityPlan | None,
    num_candidates: int | None,
    times: Sequence[float],
    num_seeds: int | None,
) -> FidelityPlan:
    """Return the plan asked for; what is not said is as it was before, or the default.

    Args:
        history: of the run.
        seed: of the run.
        before: the plan there was.
        num_candidates: how many to train; those trained before stay among them.
        times: lengths as multiples of the run's; none for as before.
        num_seeds: trainings of every candidate at every length.

    Raises:
        UsageError: a length that is no positive number, or none that is longer than the run's.
        FidelityError: the run has finished too few candidates, or too few are asked for.
    """
    lengths = tuple(sorted(set(times))) or (before.times if before else DEFAULT_TIMES)
    if not all(map(math.isfinite, lengths)) or min(lengths) <= 0 or max(lengths) <= 1:
        raise UsageError(
            "Lengths are multiples of the run's own, all positive, none infinite, and one at least above 1; got "
            f"{', '.join(f'{length:g}' for length in lengths)}. Take 4,10 for example."
        )
    already = before.trials if before else ()
    # A search that ended early may have planned fewer than say anything.
    num = num_candidates or (len(already) if len(already) >= LEAST_CANDIDATES else DEFAULT_CANDIDATES)
    trials = choose(history, num=num, seed=seed, already=already)
    if len(trials) < LEAST_CANDIDATES:
        raise FidelityError(
            f"How a score ranks is judged by at least {LEAST_CANDIDATES} candidates; there are {len(trials)}. "
            f"The run has finished {len(history.finished())}, and {num} were asked for."
        )
    return FidelityPlan(
        trials=tuple(trials),
        times=lengths,
        num_seeds=num_seeds or (before.num_seeds if before else DEFAULT_SEEDS),
        first_seed=before.first_seed if before else seed + FIRST_SEED,
    )
