"""Trains what a plan says, as durably as a search: a study of its own, continued exactly, nothing trained twice.

Never writes into the run's own study. What the trainings say is `report.py`.
"""

from typing import Any

from nas.candidates import Candidate, Failed, History, Record
from nas.config import check_same_search, read_config
from nas.engine import run as run_engine
from nas.evaluation import ShortTrainingEvaluation
from nas.evolution.strategy import Problem, num_proposed
from nas.fidelity.evaluation import TrainingEvaluation
from nas.fidelity.files import FOLDER, JOURNAL
from nas.fidelity.journal import OBJECTIVES, open_study
from nas.fidelity.listed import Listed
from nas.fidelity.plan import FidelityPlan
from nas.fidelity.training import Training, TrainingSpace
from nas.run import Run
from nas.search import SearchObserver, Uninterrupted, check_same_corpus, make_executor, prepare
from nas.storage.journal import repaired_journal
from proxies.short_training import ShortTraining


def train(
    run: Run,
    plan: FidelityPlan,
    *,
    overrides: tuple[str, ...] = (),
    observer: SearchObserver,
    uninterrupted: Uninterrupted,
) -> History[Training]:
    """Train what is left of a plan and return everything that was trained for it or for an earlier one.

    Args:
        run: whose candidates are trained.
        plan: what to train; kept beside the study.
        overrides: `a.b=c` of resources and failures, as on resume.
        observer: is told how it goes.
        uninterrupted: context in which an interrupt waits.

    Raises:
        RunDirectoryError: another process trains for this run.
        ConfigError: an override changes more than resources, or the run's text has changed.
        NasError: what a search refuses before it begins.
    """
    text = run.directory.config.read_text(encoding="utf-8")
    config = read_config(text, where=str(run.directory.config), overrides=overrides)
    check_same_search(run.config, config)
    folder = run.directory.path / FOLDER
    journal = folder / JOURNAL
    with repaired_journal(journal, notice=observer.notice):
        prepared = prepare(config, own_table=run.directory.latency)
        check_same_corpus(run.directory, prepared.corpus)
        plan.save(folder)
        space = TrainingSpace(space=prepared.space)
        problem: Problem[Training] = Problem(space=space, expensive=OBJECTIVES, cheap=lambda _: {})
        study = open_study(folder, space=prepared.space, notice=observer.notice)
        asked = plan.trainings(run.study.history())
        names = {problem.fingerprint(training) for training in asked}
        begun = [record.candidate for record in study.history()] + list(study.running())
        # Trainings of an earlier, larger plan stay on record and count as what they are.
        num_others = sum(candidate.fingerprint not in names for candidate in begun)
        if num_proposed(study.history(), study.running()) < num_others + len(asked) or study.running():
            short = ShortTrainingEvaluation(
                space=prepared.space,
                proxy=ShortTraining(corpus=prepared.corpus, settings=config.training_settings()),
                width_fraction=config.proxy.width_fraction,
            )
            executor: Any = make_executor(config, TrainingEvaluation(short=short), notice=observer.notice)
            observer.begins(
                num_candidates=num_others + len(asked),
                num_repeats=0,
                num_parallel=executor.capacity,
                finished=list(study.history()),
            )
            try:
                run_engine(
                    problem,
                    Listed(problem=problem, genomes=asked),
                    study=study,
                    executor=executor,
                    num_evaluations=num_others + len(asked),
                    seed=config.seed,
                    failures=config.failure_policies,
                    observer=_Ticks(observer, uninterrupted=uninterrupted),
                    uninterrupted=uninterrupted,
                )
            finally:
                executor.shutdown()
        return study.history()


class _Ticks:
    """Passes on what happens, and hears an interrupt that came where Python drops it."""

    def __init__(self, observer: SearchObserver, *, uninterrupted: Uninterrupted) -> None:
        self._observer = observer
        self._uninterrupted = uninterrupted

    def started(self, candidate: Candidate[Any]) -> None:
        self._observer.started(candidate)

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        self._observer.retried(candidate, failure)

    def ended(self, record: Record[Any]) -> None:
        self._observer.ended(record)

    def tick(self) -> None:
        with self._uninterrupted():
            self._observer.tick()
