"""How far short training can be trusted, with everything that rests on: what `fidelity.json` holds."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from nas.candidates import History
from nas.config import SearchConfig
from nas.errors import StudyError
from nas.fidelity.files import REPORT
from nas.fidelity.plan import FidelityPlan
from nas.fidelity.rows import FailedTraining, FidelityRow, read_rows
from nas.fidelity.statistics import (
    Comparison,
    Noise,
    Shorter,
    compare,
    noise_over_seeds,
    shorter_trainings,
)
from nas.fidelity.training import Training
from nas.run_directory import write_atomically
from proxies.errors import FidelityError
from proxies.projection import Projection, fit_projection

SCHEMA_VERSION: Final = 2

FEW_EQUAL: Final = 10
"""Candidates of one size below which a reader is warned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FidelityReport:
    """What longer trainings of some of a run's candidates say of the scores the run ranked by."""

    name: str
    rows: tuple[FidelityRow, ...]
    comparisons: tuple[Comparison, ...]
    """One for each longer training, the longest first."""

    projection: Projection
    """Learnt from the longest training of all candidates that have it."""

    shorter: tuple[Shorter, ...]
    """Trainings shorter than the run's, the shortest first."""

    noise: tuple[Noise, ...]
    """By length."""

    failures: tuple[FailedTraining, ...]
    caveats: tuple[str, ...]

    @property
    def longest(self) -> Comparison:
        """The comparison that says most."""
        return self.comparisons[0]

    @property
    def cheapest(self) -> Shorter | None:
        """The shortest training that ranks as the run's does, as far as these candidates tell; none is shorter."""
        return next((shorter for shorter in self.shorter if shorter.ranks_as_well), None)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        cheapest = self.cheapest
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "rows": [row.to_dict() for row in self.rows],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "projection": self.projection.to_dict(),
            "shorter": [asdict(shorter) | {"ranks_as_well": shorter.ranks_as_well} for shorter in self.shorter],
            "cheapest_times": 1.0 if cheapest is None else cheapest.times,
            "noise": [asdict(noise) for noise in self.noise],
            "failures": [asdict(failure) for failure in self.failures],
            "caveats": list(self.caveats),
        }

    def save(self, folder: Path) -> None:
        """Write `fidelity.json` into a run directory."""
        write_atomically(folder / REPORT, json.dumps(self.to_dict(), indent=2) + "\n")


def load_report(folder: Path) -> FidelityReport | None:
    """Read the `fidelity.json` of a run directory; none where there is none.

    Raises:
        StudyError: it cannot be read, or was written by a newer version.
    """
    path = folder / REPORT
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] > SCHEMA_VERSION:
            raise StudyError(
                f"{path} has version {content['schema_version']}, and this hybridnas reads up to {SCHEMA_VERSION}. "
                "Install a newer one."
            )
        return _read(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} cannot be read: {error!r}. Write it again with `nas proxy fidelity`.") from error


def _read(content: Mapping[str, Any]) -> FidelityReport:
    return FidelityReport(
        name=content["name"],
        rows=tuple(map(FidelityRow.from_dict, content["rows"])),
        comparisons=tuple(map(Comparison.from_dict, content["comparisons"])),
        projection=Projection.from_dict(content["projection"]),
        shorter=tuple(
            Shorter.from_dict({key: value for key, value in one.items() if key != "ranks_as_well"})
            for one in content["shorter"]
        ),
        noise=tuple(Noise(**one) for one in content["noise"]),
        failures=tuple(FailedTraining(**one) for one in content["failures"]),
        caveats=tuple(content["caveats"]),
    )


def report_of(
    config: SearchConfig, history: History[Any], plan: FidelityPlan, trainings: History[Training]
) -> FidelityReport:
    """Return what the trainings of a plan say of the run with this configuration and history.

    Raises:
        FidelityError: fewer than five candidates were trained longer to their end.
    """
    seed = config.seed
    rows, failures = read_rows(history, trainings, plan, sequence_tokens=config.proxy.training.sequence_tokens)
    caveats = []
    comparisons: list[Comparison] = []
    last: FidelityError | None = None
    for times in sorted((times for times in plan.times if times > 1), reverse=True):
        try:
            comparisons.append(compare(rows, times=times, lengths=plan.times, seed=seed))
        except FidelityError as error:
            caveats.append(str(error))
            last = error
    if failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(one.kind for one in failures).items())
        caveats.append(f"{len(failures)} trainings gave no perplexity ({kinds}) and count nowhere.")
    if not comparisons:
        assert last is not None  # a plan has a length above 1
        raise FidelityError(" ".join(caveats)) from last
    longest = comparisons[0]
    if not longest.equally_large:
        caveats.append("Too few candidates are of one size to say how scores rank at equal parameters.")
    else:
        num = max(one.num_candidates for one in longest.equally_large.values())
        if num < FEW_EQUAL:
            caveats.append(
                f"Only {num} candidates are of one size; resampling so few gives intervals that are too narrow."
            )
    judged = [(row, truth) for row in rows if (truth := row.at(longest.times)) is not None]
    noise = [found for times in plan.times if (found := noise_over_seeds(rows, times=times)) is not None]
    return FidelityReport(
        name=config.name,
        rows=tuple(rows),
        comparisons=tuple(comparisons),
        projection=fit_projection(
            [row.perplexity for row, _ in judged],
            [row.traits for row, _ in judged],
            [truth for _, truth in judged],
        ),
        shorter=tuple(
            shorter_trainings(rows, times=longest.times, lengths=plan.times, first_seed=plan.first_seed, seed=seed)
        ),
        noise=tuple(noise),
        failures=tuple(failures),
        caveats=tuple(caveats),
    )
