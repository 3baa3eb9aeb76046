"""What reports and dashboards draw of a run: the trials, how they compare, and where the figures come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from nas.candidates import History
from nas.config import CHEAP_OBJECTIVES, SearchConfig
from nas.results.files import RunFiles
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from dashboards.frame import Comparison, Objective, Priced, Reference, Results, ValidationPicture
    from latency.table import LatencyTable
    from nas.study_reader import StudyReader
    from search_spaces import Architecture

T = TypeVar("T")

_NOT_VALIDATED: Final = (
    "The latency table was not validated against whole models; predicted latencies carry no interval."
)
_NO_TABLE: Final = "There is no latency table here: it is still being measured, or the run was imported without it."


class RunPictures:
    """Makes the results of one run again and again; what costs much is kept while nothing changes it."""

    def __init__(self, files: RunFiles, config: SearchConfig) -> None:
        from nas.results.frame import GrowingFrame

        self._files = files
        self._config = config
        self._frame = GrowingFrame()
        self._of_table: tuple[LatencyTable | None, _OfTable] | None = None
        self._why_not = ""
        self._unread: list[str] = []
        self._of_trials: tuple[pd.DataFrame, _OfTrials] | None = None

    def results(
        self,
        study: "StudyReader[Any] | None",
        *,
        state: Literal["running", "finished", "interrupted"],
        spec_text: "Callable[[Architecture], str] | None" = None,
    ) -> "Results":
        """Return what there is to draw.

        Args:
            study: of the run; none before its first candidate.
            state: of the run.
            spec_text: writes a candidate's architecture as a file.
        """
        from dashboards.frame import Results, empty_frame

        self._unread = []
        objectives = drawn_objectives(self._config.objectives)
        known = self._known_by_table()
        trials = empty_frame(objectives=objectives) if study is None else self._trials(study)
        found = _OfTrials() if study is None else self._found_in(trials, study)
        provenance, fidelity = self._provenance(found), self._readable(self._files.fidelity, None)
        return Results(
            title=self._config.name,
            trials=trials,
            objectives=objectives,
            provenance=provenance,
            comparison=found.comparison,
            fidelity=fidelity,
            trainings=self._files.trainings(),
            planned_evaluations=self._config.budget.evaluations,
            state=state,
            limits=self._config.bounds,
            caveats=(*known.caveats, *dict.fromkeys(self._unread)),
            knee=found.knee,
            references=known.references,
            price=known.price,
            spec_text=spec_text,
            directory=str(self._files.directory.path),
            activity=self._files.activity(),
            validation=known.validation,
        )

    def _readable(self, read: "Callable[[], T]", otherwise: T) -> T:
        """Return what a file beside the study says; where it is garbled, that is a caveat and hides no trial."""
        try:
            return read()
        except NasError as error:
            self._unread.append(str(error))
            return otherwise

    def _trials(self, study: "StudyReader[Any]") -> "pd.DataFrame":
        return self._frame.frame(
            study.history(),
            study.running(),
            begun=study.begun(),
            broken=study.broken(),
            measured_ms=self._readable(self._files.measured_ms, {}),
        )

    def _found_in(self, trials: "pd.DataFrame", study: "StudyReader[Any]") -> "_OfTrials":
        from nas.halving_account import account

        if self._of_trials is None or self._of_trials[0] is not trials:
            history = study.history()
            halving = account(history)
            found = _OfTrials(
                comparison=compared(history),
                knee=knee_number(history),
                halving=None if halving is None else str(halving),
            )
            self._of_trials = (trials, found)
        return self._of_trials[1]

    def _known_by_table(self) -> "_OfTable":
        table, why_not = None, _NO_TABLE
        if self._files.has_table():
            try:
                table = self._files.table()
            except NasError as error:
                why_not = f"The latency table cannot be read: {error}"
        if self._of_table is None or self._of_table[0] is not table or (table is None and self._why_not != why_not):
            self._of_table, self._why_not = (table, _OfTable(table, self._config, why_not=why_not)), why_not
        return self._of_table[1]

    def _provenance(self, found: "_OfTrials") -> dict[str, str]:
        config = self._config
        training = config.proxy.training
        ranking = self._readable(self._files.ranking, None)
        return {
            **self._known_by_table().provenance,
            "strategy": f"{config.strategy.name}, seed {config.seed}",
            "proxy": (
                f"short training, {training.steps} steps of {training.tokens_per_step} tokens, "
                f"learning rate {training.learning_rate:g}"
            ),
            **({} if ranking is None else {"ranking": f"by {ranking['score']}: {ranking['why']}"}),
            **({} if found.halving is None else {"halving": found.halving}),
            **self._surroundings(),
        }

    def _surroundings(self) -> dict[str, str]:
        # A run made from an export may have none.
        if not self._files.directory.environment.is_file():
            return {}
        try:
            environment = self._files.environment()
            corpus, packages = environment["corpus"], environment["packages"]
            return {
                "text": f"{self._config.proxy.corpus}, {corpus['tokenizer']['name']}, sha256 {corpus['sha256'][:12]}",
                "versions": ", ".join(f"{name} {packages[name]}" for name in ("hybridnas", "torch", "ray", "optuna")),
                "started": environment["date"],
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            name = self._files.directory.environment.name
            return {"versions": f"not known: {name} cannot be read ({type(error).__name__}: {error})"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfTrials:
    """What only the trials decide."""

    comparison: "Comparison | None" = None
    knee: int | None = None
    halving: str | None = None


class _OfTable:
    """What only the latency table decides."""

    def __init__(self, table: "LatencyTable | None", config: SearchConfig, *, why_not: str) -> None:
        from nas.results.priced_in_detail import pricer

        workload = config.latency.workload
        self.price: Callable[[Architecture], Priced] = pricer(workload, table)
        self.caveats: tuple[str, ...] = (why_not,)
        self.references: tuple[Reference, ...] = ()
        self.validation: ValidationPicture | None = None
        self.provenance: Mapping[str, str] = {"workload": workload.describe()}
        if table is None:
            return
        from nas.results.reference_prices import priced_references
        from nas.results.validation_picture import validation_picture

        found = table.validation(workload)
        device = table.fingerprint
        checked = "never checked against whole models" if found is None else f"checked: {found.describe()}"
        self.caveats = () if found else (_NOT_VALIDATED,)
        self.references = priced_references(table, workload, memory=config.memory_bound)
        self.validation = None if found is None else validation_picture(found, device=device.describe())
        self.provenance = {
            "device": device.describe(),
            "workload": workload.describe(),
            "latency": f"measured {device.date[:10]}; summed over operators and fixed parts; {checked}",
        }


def drawn_objectives(names: Sequence[str]) -> "tuple[Objective, ...]":
    """Return the objectives as they are drawn, the one on the axis to the right second: a cheap one."""
    from dashboards.frame import KNOWN_OBJECTIVES, Objective

    first, *others = names
    ordered = [first, *sorted(others, key=lambda name: name not in CHEAP_OBJECTIVES)]
    return tuple(
        KNOWN_OBJECTIVES.get(name, Objective(column=name, label=name.replace("_", " ").capitalize()))
        for name in ordered
    )


def knee_number(history: History[Any]) -> int | None:
    """Return the trial that `nas export --trial knee` takes; none where there is none."""
    from nas.trial_choice import knee

    frontier = history.frontier()
    if not frontier or min(map(min, history.points(frontier))) <= 0:
        return None
    return knee(history).number


def compared(history: History[Any]) -> "Comparison | None":
    """Return evolution against random search in a history, as it is drawn."""
    from dashboards.frame import Comparison
    from nas.comparison import compare_halves

    halves = compare_halves(history)
    if halves is None:
        return None
    return Comparison(
        random_hypervolume=halves.random_hypervolume,
        evolved_hypervolume=halves.evolved_hypervolume,
        difference=halves.difference,
        noise=halves.noise,
        num_each=halves.num_each,
        sentence=str(halves),
    )
