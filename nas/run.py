"""A run as readers see it: its configuration, its study, and the results that pictures and tables draw from.

Reads only. A run can be read while it is written, and after any crash. What is seldom asked for, such as pandas, is
loaded when it is.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.config import CHEAP_OBJECTIVES, SearchConfig, read_config
from nas.errors import NoStudyError, RunDirectoryError
from nas.run_directory import RunDirectory
from nas.study_reader import StudyReader

if TYPE_CHECKING:
    from dashboards.frame import Fidelity, Results
    from latency.table import LatencyTable

_NOT_VALIDATED = "The latency table was not validated against whole models; predicted latencies carry no interval."


class Run:
    """An existing run directory."""

    def __init__(self, path: Path) -> None:
        """Open a run.

        Raises:
            RunDirectoryError: no search was started there, or none has begun a candidate.
            ConfigError: its configuration cannot be read by this version.
            StudyError: its study was made by a newer version, or is damaged.
            StorageError: the database that holds its study cannot be reached.
        """
        self.directory = RunDirectory.open(path)
        self.config: SearchConfig = read_config(
            self.directory.config.read_text(encoding="utf-8"), where=str(self.directory.config)
        )
        self.space = self.config.load_space()
        try:
            self.study: StudyReader[Any] = StudyReader(
                self.where, name=self.config.study_name, space=self.space, objectives=self.config.objectives
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
        """Return the latency table the run prices with."""
        from latency.table import LatencyTable

        if not self.directory.latency.is_file():
            raise RunDirectoryError(
                f"{self.directory.path} has no latency table yet: it was imported, or stopped while measuring. "
                f"`nas resume {self.directory.path}` measures it."
            )
        table = LatencyTable.load(self.directory.latency)
        # What was priced with other kernels was so priced.
        table.accepts_outdated = True
        return table

    def measured_ms(self) -> dict[str, float]:
        """Return what models timed whole took, by fingerprint."""
        if not self.directory.verification.is_file():
            return {}
        from nas.verification import read_verified

        return {name: found.measured_ms for name, found in read_verified(self.directory).items()}

    def environment(self) -> dict[str, Any]:
        """Return what the run was made with."""
        content: dict[str, Any] = json.loads(self.directory.environment.read_text(encoding="utf-8"))
        return content

    def results(self) -> "Results":
        """Return what reports and dashboards draw."""
        from dashboards.frame import KNOWN_OBJECTIVES, Comparison, Results
        from nas.comparison import compare_halves
        from nas.results import results_frame
        from nas.winners.curves import trainings_of_run

        history = self.study.history()
        halves = compare_halves(history)
        comparison = None
        if halves is not None:
            comparison = Comparison(
                random_hypervolume=halves.random_hypervolume,
                evolved_hypervolume=halves.evolved_hypervolume,
                difference=halves.difference,
                noise=halves.noise,
                num_each=halves.num_each,
                sentence=str(halves),
            )
        return Results(
            title=self.config.name,
            trials=results_frame(history, self.study.running(), measured_ms=self.measured_ms()),
            objectives=tuple(KNOWN_OBJECTIVES[name] for name in self._drawn_objectives()),
            provenance=self._provenance(),
            comparison=comparison,
            fidelity=self._fidelity(),
            trainings=trainings_of_run(self.directory.path),
            planned_evaluations=self.config.budget.evaluations,
            state=self.state,
            limits=self.config.bounds,
            caveats=() if self.table().validation(self.config.latency.workload) else (_NOT_VALIDATED,),
        )

    def _fidelity(self) -> "Fidelity | None":
        from nas.fidelity.files import REPORT

        if not (self.directory.path / REPORT).is_file():
            return None
        from nas.fidelity.picture import fidelity_picture
        from nas.fidelity.ranked_by import SCORE, judged
        from nas.fidelity.report import load_report

        report = load_report(self.directory.path)
        if report is None:
            return None
        picture = fidelity_picture(report)
        ranking = f"Candidates are ranked by {SCORE}: {judged(report, path=self.directory.path)}."
        return replace(picture, findings=(ranking, *picture.findings))

    def _drawn_objectives(self) -> list[str]:
        """Return the objectives, the one on the axis to the right second: a cheap one."""
        first, *others = self.config.objectives
        return [first, *sorted(others, key=lambda name: name not in CHEAP_OBJECTIVES)]

    def _checked(self) -> str:
        validation = self.table().validation(self.config.latency.workload)
        return "never checked against whole models" if validation is None else f"checked: {validation.describe()}"

    def _provenance(self) -> dict[str, str]:
        config, environment = self.config, self.environment()
        training = config.proxy.training
        from nas.fidelity.ranked_by import ranked_by
        from nas.halving_account import account

        fingerprint = self.table().fingerprint
        ranking = ranked_by(self.directory.path)
        corpus = environment["corpus"]
        packages = environment["packages"]
        halving = account(self.study.history())
        return {
            "device": fingerprint.describe(),
            "workload": config.latency.workload.describe(),
            "latency": f"measured {fingerprint.date[:10]}; summed over operators and fixed parts; {self._checked()}",
            "strategy": f"{config.strategy.name}, seed {config.seed}",
            "proxy": (
                f"short training, {training.steps} steps of {training.tokens_per_step} tokens, "
                f"learning rate {training.learning_rate:g}"
            ),
            "ranking": f"by {ranking['score']}: {ranking['why']}",
            **({} if halving is None else {"halving": str(halving)}),
            "text": f"{config.proxy.corpus}, {corpus['tokenizer']['name']}, sha256 {corpus['sha256'][:12]}",
            "versions": ", ".join(f"{name} {packages[name]}" for name in ("hybridnas", "torch", "ray", "optuna")),
            "started": environment["date"],
        }
