"""A run as readers see it: its configuration, its study, and the results that pictures and tables draw from.

Reads only. A run can be read while it is written, and after any crash. What is seldom asked for, such as pandas, is
loaded when it is.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.config import SearchConfig, read_config
from nas.errors import NoStudyError
from nas.results.files import RunFiles
from nas.run_directory import RunDirectory
from nas.study_reader import StudyReader

if TYPE_CHECKING:
    from dashboards.frame import Results
    from latency.table import LatencyTable
    from nas.results.pictures import RunPictures
    from search_spaces import Architecture


class Run:
    """An existing run directory."""

    def __init__(self, path: Path, *, broken_trials: Literal["refused", "kept"] = "refused") -> None:
        """Open a run.

        Args:
            path: the run directory.
            broken_trials: what becomes of trials that cannot be read: an error, or rows of the results that say so.

        Raises:
            RunDirectoryError: no search was started there, or none has begun a candidate.
            ConfigError: its configuration cannot be read by this version.
            StudyError: its study was made by a newer version, or is damaged.
            StorageError: the database that holds its study cannot be reached.
        """
        self.directory = RunDirectory.open(path)
        self.files = RunFiles(self.directory)
        self.config: SearchConfig = read_config(self.directory.config_text(), where=str(self.directory.config))
        self.space = self.config.load_space()
        try:
            self.study: StudyReader[Any] = StudyReader(
                self.where,
                name=self.config.study_name,
                space=self.space,
                objectives=self.config.objectives,
                broken_trials=broken_trials,
            )
        except (FileNotFoundError, NoStudyError):
            raise NoStudyError(
                f"{path} has no study yet: the search was stopped before its first candidate, or is still measuring. "
                f"Continue it with `nas resume {path}`."
            ) from None

    @property
    def where(self) -> str | Path:
        """Where its study lies: a journal file, or a URL."""
        return self.config.study.storage or self.directory.journal

    @property
    def state(self) -> Literal["running", "finished", "interrupted"]:
        """Whether a search is writing it now, and whether it evaluated all it was asked for."""
        if self.directory.lock.is_held:
            return "running"
        return "finished" if self.study.is_complete(self.config.budget.model_dump()) else "interrupted"

    def table(self) -> "LatencyTable":
        """Return the latency table the run prices with.

        Raises:
            RunDirectoryError: it has none.
        """
        return self.files.table()

    def measured_ms(self) -> Mapping[str, float]:
        """Return what models timed whole took, by fingerprint."""
        return self.files.measured_ms()

    def environment(self) -> dict[str, Any]:
        """Return what the run was made with."""
        return self.files.environment()

    @cached_property
    def _pictures(self) -> "RunPictures":
        from nas.results.pictures import RunPictures

        return RunPictures(self.files, self.config)

    def results(self) -> "Results":
        """Return what reports and dashboards draw; of a study that was refreshed, only what is new is made."""
        return self._pictures.results(self.study, state=self.state, spec_text=self.spec_text)

    def spec_text(self, architecture: "Architecture") -> str:
        """Return an architecture as `nas export --format spec` writes it, with what the run knows of it."""
        from nas.export.spec import document, spec_document, spec_text

        fingerprint = architecture.fingerprint()
        history = self.study.history()
        found = [record for record in history if record.candidate.fingerprint == fingerprint and not record.is_repeat]
        scored = [record for record in found if record.failure is None]
        if scored and self.files.has_table():
            return spec_text(spec_document(self, history.ranked(scored[0])), as_json=False)
        return spec_text(document(architecture, {"search": self.config.name}), as_json=False)
