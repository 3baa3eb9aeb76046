"""What lies in a run directory beside its study, each read anew only when its file has changed."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nas.activity import FILE as ACTIVITY
from nas.errors import RunDirectoryError
from nas.fidelity.files import FOLDER, JOURNAL, REPORT
from nas.run_directory import RunDirectory
from nas.storage.reading import file_mark

if TYPE_CHECKING:
    from dashboards.frame import Activity, Fidelity, TrainingRun
    from latency.table import LatencyTable

T = TypeVar("T")


class RunFiles:
    """The files of one run, as they are now."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self._kept: dict[str, tuple[object, Any]] = {}

    def mark(self) -> object:
        """Return what changes when one of these files does."""
        own = self.directory
        names = (own.config, own.latency, own.verification, own.environment, own.path / REPORT, own.path / ACTIVITY)
        return _marks(names), self._training_marks()

    def has_table(self) -> bool:
        """Whether there is a latency table: not in a run that was imported, or is still measuring."""
        return self.directory.latency.is_file()

    def table(self) -> "LatencyTable":
        """Return the latency table the run prices with.

        Raises:
            RunDirectoryError: it has none.
            TableFileError: it cannot be read.
        """
        if not self.has_table():
            raise RunDirectoryError(
                f"{self.directory.path} has no latency table yet: it was imported, or stopped while measuring. "
                f"`nas resume {self.directory.path}` measures it."
            )
        return self._unless_kept("table", _marks([self.directory.latency]), self._read_table)

    def _read_table(self) -> "LatencyTable":
        from latency.table import LatencyTable

        table = LatencyTable.load(self.directory.latency)
        # What was priced with other kernels was so priced.
        table.accepts_outdated = True
        return table

    def measured_ms(self) -> Mapping[str, float]:
        """Return what models timed whole took, by fingerprint."""
        return self._unless_kept("measured", _marks([self.directory.verification]), self._read_measured)

    def _read_measured(self) -> dict[str, float]:
        if not self.directory.verification.is_file():
            return {}
        from nas.verification import read_verified

        return {name: found.measured_ms for name, found in read_verified(self.directory).items()}

    def environment(self) -> dict[str, Any]:
        """Return what the run was made with.

        Raises:
            OSError: it does not say.
            ValueError: what it says is garbled.
        """
        content: dict[str, Any] = json.loads(self.directory.environment.read_text(encoding="utf-8"))
        return content

    def ranking(self) -> dict[str, Any]:
        """Return which score ranks the run's candidates, and why."""
        from nas.fidelity.ranked_by import ranked_by

        path = self.directory.path
        marks = _marks([path / REPORT, path / FOLDER / JOURNAL])
        return self._unless_kept("ranking", marks, lambda: ranked_by(path))

    def fidelity(self) -> "Fidelity | None":
        """Return what longer trainings say, if there were any."""
        return self._unless_kept("fidelity", _marks([self.directory.path / REPORT]), self._read_fidelity)

    def _read_fidelity(self) -> "Fidelity | None":
        path = self.directory.path
        if not (path / REPORT).is_file():
            return None
        from nas.fidelity.picture import fidelity_picture
        from nas.fidelity.ranked_by import SCORE, judged
        from nas.fidelity.report import load_report

        report = load_report(path)
        if report is None:
            return None
        picture = fidelity_picture(report)
        ranking = f"Candidates are ranked by {SCORE}: {judged(report, path=path)}."
        return replace(picture, findings=(ranking, *picture.findings))

    def trainings(self) -> "tuple[TrainingRun, ...]":
        """Return the trainings of its candidates at full length."""
        from nas.winners.curves import trainings_of_run

        return self._unless_kept("trainings", self._training_marks(), lambda: trainings_of_run(self.directory.path))

    def _training_marks(self) -> object:
        from nas.winners.training_directory import TRAININGS, TrainingDirectory

        folders = map(TrainingDirectory, sorted((self.directory.path / TRAININGS).glob("*")))
        return [(str(one.path), _marks([one.recipe, one.log]), one.lock.is_held) for one in folders]

    def activity(self) -> "Activity | None":
        """Return what the search last said of itself; none where no search runs."""
        if not self.directory.lock.is_held:
            return None
        from nas.activity import read_activity

        return read_activity(self.directory.path)

    def _unless_kept(self, name: str, mark: object, read: Callable[[], T]) -> T:
        kept: tuple[object, T] | None = self._kept.get(name)
        if kept is None or kept[0] != mark:
            kept = self._kept[name] = (mark, read())
        return kept[1]


def _marks(paths: Iterable[Path]) -> list[object]:
    return [file_mark(path) for path in paths]
