"""Studies as a dashboard follows them: a run directory from before its first candidate on, or a study in a storage.

Each says cheaply whether there is news, and makes results of what is new alone. What is served is the dashboard's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from nas.config import SearchConfig, read_config
from nas.errors import NoStudyError, RunDirectoryError, StorageError
from nas.recorded_space import RecordedSpace
from nas.results.files import RunFiles
from nas.results.pictures import RunPictures, compared, drawn_objectives, knee_number
from nas.results.priced_in_detail import pricer
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.storage.any_reading import studies_of
from nas.storage.url import masked
from nas.study_export import CONFIG
from nas.study_format import OBJECTIVES
from nas.study_reader import StudyReader
from search_spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from dashboards.frame import Results

_EVALUATIONS: Final = "evaluations"
_NO_DIRECTORY: Final = "Read from a storage alone: latency table, trainings and versions lie in the run directory."


class Live(ABC):
    """One study that is followed."""

    name: str
    """As its results are titled."""

    where: str
    """As the user may read it: without a password."""

    @abstractmethod
    def revision(self) -> object:
        """Return something cheap whose `repr` changes when the results may have.

        Raises:
            NasError: it is gone, or cannot be reached.
        """

    @abstractmethod
    def results(self) -> "Results":
        """Return the results as they are now.

        Raises:
            NasError: it is gone, damaged, of a newer version, or cannot be reached.
        """


class LiveRun(Live):
    """A run directory."""

    def __init__(self, path: Path) -> None:
        """Follow a run directory; its study is read at the first results.

        Raises:
            RunDirectoryError: no search was started there.
            ConfigError: its configuration cannot be read by this version.
        """
        self._directory = RunDirectory.open(path)
        self._files = RunFiles(self._directory)
        self._run: Run | None = None
        self._has_begun = False
        self._empty: RunPictures | None = None
        self._config_text: str | None = None
        self._config = self._read_config()
        self.name = self._config.name
        self.where = str(path)

    def revision(self) -> object:
        """Return marks of files, or counts of a database."""
        self._check_is_there()
        study = self._run.study.revision() if self._run is not None else self._revision_of_nothing()
        return study, self._files.mark(), self._directory.lock.is_held

    def results(self) -> "Results":
        """Return the results as they are now; of a search that has not begun a candidate, without any."""
        self._check_is_there()
        text = self._config_text
        self._config = self._read_config()
        if text != self._config_text:
            # Resumed with another budget, or in another storage.
            self._run = self._empty = None
        try:
            if self._run is not None:
                self._run.study.refresh()
            else:
                self._run = Run(self._directory.path, broken_trials="kept")
        except (FileNotFoundError, NoStudyError):
            self._run = None
            if self._has_begun:
                raise NoStudyError(
                    f"The study of {self.where} is gone: its journal, or database, no longer has it. What was read of "
                    "it before is shown."
                ) from None
            return self._results_of_nothing()
        self._has_begun = True
        return self._run.results()

    def _results_of_nothing(self) -> "Results":
        if self._empty is None:
            self._empty = RunPictures(self._files, self._config)
        return self._empty.results(None, state="running" if self._directory.lock.is_held else "interrupted")

    def _revision_of_nothing(self) -> object:
        storage = self._config.study.storage
        # Before there is a study, looking for it is all that can be done.
        return None if storage is None else self._config.study_name in studies_of(storage)

    def _check_is_there(self) -> None:
        if not self._directory.config.is_file():
            raise RunDirectoryError(
                f"The run directory {self._directory.path} is gone: it has no config.yaml any more."
            )

    def _read_config(self) -> SearchConfig:
        text = self._directory.config_text()
        if text != self._config_text:
            self._config = read_config(text, where=str(self._directory.config))
            self._config_text = text
        return self._config


class LiveStudy(Live):
    """A study in a storage, without its run directory."""

    def __init__(self, where: str, *, name: str, attributes: Mapping[str, Any]) -> None:
        """Follow the study `name`; it is read at the first results.

        Args:
            where: URL or file.
            name: of the study.
            attributes: its own; an exported study has its configuration among them.

        Raises:
            ConfigError: this version cannot read its configuration.
        """
        from nas.results.frame import GrowingFrame

        self._storage = where
        self._study_name = name
        self._objectives: tuple[str, ...] = tuple(attributes[OBJECTIVES])
        self._config: SearchConfig | None = None
        if CONFIG in attributes:
            self._config = read_config(attributes[CONFIG], where=f"study {name!r}")
        self.name = name
        self.where = masked(where)
        self._study: StudyReader[Any] | None = None
        self._frame = GrowingFrame()

    def revision(self) -> object:
        """Return marks of files, or counts of a database."""
        return None if self._study is None else (self._study.revision(), self._study.is_written)

    def results(self) -> "Results":
        """Return the results as they are now."""
        from dashboards.frame import Results

        try:
            study = self._read()
        except FileNotFoundError:
            raise StorageError(f"The storage {self.where} is gone. What was read of it before is shown.") from None
        history, config, plan = study.history(), self._config, study.completed_plan
        begun = len(history) - sum(record.is_repeat for record in history) + len(study.running())
        planned = begun if plan is None else plan.get(_EVALUATIONS, begun)
        return Results(
            title=self._study_name,
            trials=self._frame.frame(history, study.running(), begun=study.begun(), broken=study.broken()),
            objectives=drawn_objectives(self._objectives),
            provenance={"study": f"{self._study_name} in {self.where}"},
            comparison=compared(history),
            planned_evaluations=planned if config is None else config.budget.evaluations,
            state=self._state(study),
            limits={} if config is None else config.bounds,
            caveats=(_NO_DIRECTORY,),
            knee=knee_number(history),
            price=None if config is None else pricer(config.latency.workload, None),
            spec_text=self._spec_text,
        )

    def _read(self) -> StudyReader[Any]:
        if self._study is not None:
            self._study.refresh()
            return self._study
        space: SearchSpace[Any] = RecordedSpace() if self._config is None else self._config.load_space()
        self._study = StudyReader(
            self._storage,
            name=self._study_name,
            space=space,
            objectives=self._objectives,
            broken_trials="kept",
        )
        return self._study

    @staticmethod
    def _state(study: StudyReader[Any]) -> Literal["running", "finished", "interrupted"]:
        if study.is_written:
            return "running"
        return "interrupted" if study.completed_plan is None else "finished"

    def _spec_text(self, architecture: Architecture) -> str:
        from nas.export.spec import document, spec_text

        return spec_text(document(architecture, {"study": self._study_name, "storage": self.where}), as_json=False)
