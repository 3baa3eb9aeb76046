"""A search over language models, from a configuration to a finished run directory.

Puts the parts together: space, latency table, short training, strategy, executor, study, report.
"""

import json
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from latency.plan import MeasurementRequest
from latency.table import LatencyTable
from nas.activity import Heartbeat
from nas.architectures import load_architecture
from nas.asked_device import check_table_is_asked_for, local_fingerprint, local_obstacle
from nas.candidates import Candidate, Failed, Record
from nas.config import (
    SearchConfig,
    check_resumable,
    check_same_search,
    read_config,
)
from nas.engine import run
from nas.environment import describe_environment
from nas.errors import ConfigError
from nas.evaluation import ShortTrainingEvaluation
from nas.evolution.initialization import check_feasible
from nas.evolution.registry import make_strategy
from nas.evolution.repair import kept_or_fitted
from nas.evolution.strategy import Problem, num_proposed
from nas.executors.executor import Evaluate, Executor
from nas.executors.inprocess import InProcessExecutor
from nas.expressible_space import ExpressibleSpace
from nas.fidelity.beside import beside, evaluated_for, sole_trainer
from nas.latency_models import random_models
from nas.latency_source import given_table, needed_rows
from nas.pricing import Pricing
from nas.remote_measuring import MeasuringOf, RemoteMeasuring, remote_measuring
from nas.run import Run
from nas.run_directory import RunDirectory, write_atomically
from nas.run_latency import run_table, verify_frontier
from nas.storage.journal import repair_journal
from nas.storage.of_search import Opening, claimed_storage, study_of
from nas.storage.url import has_password
from nas.study import Study
from nas.trial_files import write_trial_files
from proxies.data import Corpus, load_corpus, training_batch
from proxies.short_training import ShortTraining
from proxies.tokenizers import load_tokenizer
from search_spaces import ArchitectureSpace


class SearchObserver(Protocol):
    """Is told how a search goes."""

    def notice(self, words: str) -> None:
        """Something to know."""

    def measuring(self, done: int, total: int, words: str) -> None:
        """A latency row was measured."""

    def checking(self, done: int, total: int, words: str) -> None:
        """A model was timed whole."""

    def begins(self, *, num_candidates: int, num_repeats: int, num_parallel: int, finished: list[Record[Any]]) -> None:
        """Evaluation begins or goes on; `finished` is what an earlier session left."""

    def started(self, candidate: Candidate[Any]) -> None:
        """A candidate was dispatched."""

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """The evaluation of a candidate failed and begins once more."""

    def ended(self, record: Record[Any]) -> None:
        """A trial ended and is on record."""

    def tick(self) -> None:
        """Time passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is checked and loaded before a run directory is touched."""

    config: SearchConfig
    space: ArchitectureSpace[Any]
    corpus: Corpus
    initial: tuple[Hashable, ...]

    rows: list[MeasurementRequest]
    """Latency rows that pricing the space needs."""

    given_table: LatencyTable | None
    """The table asked for by name; none where it is measured."""


def prepare(config: SearchConfig, *, own_table: Path | None = None) -> Prepared:
    """Load everything a search reads, so that bad input leaves nothing behind.

    A run that has its own copy of the latency table no longer needs the one it was given by name.

    Raises:
        NasError: an unreadable, empty or short corpus, a seed outside the space, a table that cannot be read.
    """
    space = config.proposal_space()
    initial = _initial_genomes(config, space)
    rows = needed_rows(config.latency.workload, space, seeds=[space.decode(genome) for genome in initial])
    has_own = own_table is not None and own_table.exists()
    given = None if has_own or config.latency.table is None else given_table(config.latency, rows)
    obstacle = local_obstacle(config.latency)
    # Where a cluster may have the device, the table is compared with that one, once it is joined.
    if given is not None and (obstacle is None or config.resources.executor != "ray"):
        at_hand = local_fingerprint(config.latency) if obstacle is None else None
        check_table_is_asked_for(given, config.latency, rows=rows, at_hand=at_hand)
    if config.resources.executor == "ray":
        from nas.executors.ray_connection import check_address

        check_address(config.resources.address)
    corpus = load_corpus(
        config.proxy.corpus,
        tokenizer=None if config.proxy.tokenizer is None else load_tokenizer(config.proxy.tokenizer),
        sequence_tokens=config.proxy.training.sequence_tokens,
        validation_fraction=config.proxy.validation_fraction,
    )
    training = config.training_settings()
    # What workers would refuse is refused before there are any.
    training_batch(
        corpus,
        step=0,
        seed=config.seed,
        batch_size=training.batch_size,
        sequence_tokens=training.sequence_tokens,
        sampling=training.sampling,
    )
    return Prepared(config=config, space=space, corpus=corpus, initial=initial, rows=rows, given_table=given)


def start(
    config: SearchConfig,
    path: Path,
    *,
    observer: SearchObserver,
    uninterrupted: "Uninterrupted",
    measuring: MeasuringOf = remote_measuring,
) -> Run:
    """Run a new search in a new run directory and return it.

    Args:
        config: what to search.
        path: the run directory.
        observer: is told how the search goes.
        uninterrupted: context in which an interrupt waits.
        measuring: opens what measures latency elsewhere; it opens none where this machine measures itself.

    Raises:
        RunDirectoryError: the directory is not empty, or another search writes it or its study.
        StorageError: the study's database cannot be reached.
        NasError: anything `prepare` refuses, an infeasible space, or resources no cluster has.
    """
    RunDirectory.check_free(path)
    prepared = prepare(config)
    with claimed_storage(config, RunDirectory(path), is_new=True, notice=observer.notice) as storage:
        directory = RunDirectory.create(path)
        with directory.lock:
            _describe(directory, prepared)
            with measuring(config, observer.notice) as remote:
                _search(
                    directory, prepared, storage=storage, remote=remote, observer=observer, uninterrupted=uninterrupted
                )
    return Run(path)


def resume(
    path: Path,
    *,
    overrides: tuple[str, ...] = (),
    expected: SearchConfig | None = None,
    observer: SearchObserver,
    uninterrupted: "Uninterrupted",
    measuring: MeasuringOf = remote_measuring,
) -> Run:
    """Continue a run exactly: what was in flight is evaluated first, what finished never again.

    Args:
        path: the run directory.
        overrides: `a.b=c`; see `check_resumable` for what they may change.
        expected: where given, the run must have been begun with this configuration, budget and resources aside.
        observer: is told how the search goes.
        uninterrupted: context in which an interrupt waits.
        measuring: as in `start`.

    Raises:
        RunDirectoryError: it is no run, or another search writes it.
        ConfigError: an override changes more than budget and resources of a search that has begun candidates.
        NasError: anything `prepare` refuses.
    """
    directory = RunDirectory.open(path)
    text = directory.config.read_text(encoding="utf-8")
    before = read_config(text, where=str(directory.config))
    config = read_config(text, where=str(directory.config), overrides=overrides)
    if expected is not None:
        check_same_search(before, expected)
    with (
        directory.lock,
        claimed_storage(config, directory, is_new=False, notice=observer.notice) as storage,
    ):
        repair = repair_journal(directory.journal)
        if repair is not None:
            observer.notice(str(repair))
        num_begun = _num_candidates(config, directory)
        if num_begun:
            check_resumable(before, config, num_begun=num_begun)
        prepared = prepare(config, own_table=directory.latency)
        if num_begun:
            check_same_corpus(directory, prepared.corpus)
        else:
            _describe(directory, prepared)
        with measuring(config, observer.notice) as remote:
            _search(directory, prepared, storage=storage, remote=remote, observer=observer, uninterrupted=uninterrupted)
    return Run(path)


Uninterrupted = Callable[[], AbstractContextManager[None]]
"""A context in which an interrupt waits."""


def _search(
    directory: RunDirectory,
    prepared: Prepared,
    *,
    storage: Opening,
    remote: RemoteMeasuring | None,
    observer: SearchObserver,
    uninterrupted: Uninterrupted = nullcontext,
) -> None:
    config, space = prepared.config, prepared.space
    table = run_table(
        directory,
        config,
        rows=prepared.rows,
        given=prepared.given_table,
        models=partial(random_models, space, samples=config.latency.validation_models, seed=config.seed),
        remote=remote,
        observer=observer,
    )
    pricing = Pricing(space, workload=config.latency.workload, table=table, memory=config.memory_bound)
    problem: Problem[Any] = Problem(
        space=space,
        expensive=config.expensive_objectives,
        cheap=pricing,
        cheap_objectives=config.objectives[len(config.expensive_objectives) :],
        constraints=config.bounds,
        initial=prepared.initial,
    )
    # Before a cluster is started for it.
    check_feasible(problem, repair=kept_or_fitted, rng=np.random.default_rng(config.seed))
    evaluation = ShortTrainingEvaluation(
        space=space,
        proxy=ShortTraining(corpus=prepared.corpus, settings=config.training_settings()),
        width_fraction=config.proxy.width_fraction,
        probes=None if config.proxy.probes is None else config.proxy.probes.suite().on(config.proxy.training),
    )
    strategy = make_strategy(config.strategy.name, problem, config.strategy.settings)
    study: Study[Any] = Study(space=space, objectives=config.objectives, storage=storage(), name=config.study_name)
    study.tell_written_results()
    for record in study.history():
        if not directory.trial(record.number).exists():
            write_trial_files(directory, record)

    def describe(genome: Hashable) -> dict[str, Any]:
        target = space.decode(genome)
        return {
            "target": target.to_dict(),
            "proxy": evaluation.proxy_architecture(genome).to_dict(),
            "latency_by_operator": dict(pricing.predict(target).by_operator),
        }

    with sole_trainer(config, directory.path, notice=observer.notice):
        executor = make_executor(config, evaluated_for(config, evaluation), notice=observer.notice)
        # Only now, so that resources which cannot be had leave the run as it was.
        _write_config(directory, config)
        observer.begins(
            num_candidates=config.budget.evaluations,
            num_repeats=config.budget.repeats,
            num_parallel=executor.capacity,
            finished=list(study.history()),
        )
        heartbeat = Heartbeat(
            directory.path,
            places=lambda: executor.capacity,
            num_cpus=config.resources.cpus_per_candidate,
            num_gpus=config.resources.gpus_per_candidate,
            nodes=lambda: executor.nodes,
        )
        watcher = _KeepsFiles(directory, observer, heartbeat=heartbeat, uninterrupted=uninterrupted)
        try:
            shared, longer = beside(
                executor,
                config=config,
                history=study.history(),
                path=directory.path,
                notice=observer.notice,
                uninterrupted=uninterrupted,
            )
            run(
                problem,
                strategy,
                study=study,
                executor=shared,
                num_evaluations=config.budget.evaluations,
                num_repeats=config.budget.repeats,
                frontier_repeats=config.budget.frontier_repeats,
                seed=config.seed,
                failures=config.failure_policies,
                halving=config.halving,
                describe=describe,
                beside=longer,
                observer=watcher,
                uninterrupted=uninterrupted,
            )
            if longer is not None:
                longer.finish(tick=watcher.tick)
            study.mark_complete(config.budget.model_dump())
        finally:
            heartbeat.close()
            executor.shutdown()
    verify_frontier(study.history().frontier(), directory, config=config, table=table, remote=remote, observer=observer)


def make_executor(config: SearchConfig, evaluation: Evaluate[Any], *, notice: Callable[[str], None]) -> Executor[Any]:
    """Return the executor a configuration asks for.

    Raises:
        ResourceError: the cluster cannot be reached, or never hold a candidate.
    """
    resources = config.resources
    if resources.executor == "inprocess":
        return InProcessExecutor(evaluation, deadline_s=resources.deadline_s)
    from nas.executors.ray_capacity import CandidateResources
    from nas.executors.ray_cluster import RayExecutor

    memory = resources.memory_gib_per_candidate
    return RayExecutor(
        evaluation,
        address=resources.address,
        resources=CandidateResources(
            num_cpus=resources.cpus_per_candidate,
            num_gpus=resources.gpus_per_candidate,
            memory_bytes=None if memory is None else int(memory * 1024**3),
        ),
        max_parallel=resources.max_parallel,
        deadline_s=resources.deadline_s,
        autoscaling=resources.autoscaling,
        notice=notice,
    )


def _initial_genomes(config: SearchConfig, space: ArchitectureSpace[Any]) -> tuple[Hashable, ...]:
    genomes = []
    for name in config.seeds:
        architecture = load_architecture(name)
        genome = space.encode(architecture)
        if genome is not None and isinstance(space, ExpressibleSpace) and (found := space.obstacles(genome)):
            raise ConfigError(f"The seed {name!r} cannot be exported as `export` demands. {found[0]}.")
        if genome is None or not space.contains(genome):
            raise ConfigError(
                f"The seed {name!r} ({architecture.pattern}, width {architecture.hidden_size}) does not lie in the "
                "space. Widen the space, or drop the seed."
            )
        genomes.append(genome)
    return tuple(genomes)


def _describe(directory: RunDirectory, prepared: Prepared) -> None:
    """Write what the run is; before its first candidate it may still become another."""
    environment = describe_environment() | {"corpus": prepared.corpus.to_dict()}
    write_atomically(directory.environment, json.dumps(environment, indent=2) + "\n")
    # Last: its configuration is what makes a folder a run.
    _write_config(directory, prepared.config)


def _write_config(directory: RunDirectory, config: SearchConfig) -> None:
    url = config.study.storage
    # A password is for its owner's eyes.
    mode = 0o600 if url is not None and has_password(url) else 0o644
    write_atomically(directory.config, config.resolved().to_yaml(), mode=mode)


def _num_candidates(config: SearchConfig, directory: RunDirectory) -> int:
    """Return how many candidates a run has begun, repeats left out."""
    study = study_of(config, directory)
    return 0 if study is None else num_proposed(study.history(), study.running())


def check_same_corpus(directory: RunDirectory, corpus: Corpus) -> None:
    """Check that a corpus is the one a run began with.

    Raises:
        ConfigError: its text or its tokenizer is another.
    """
    recorded = json.loads(directory.environment.read_text(encoding="utf-8"))["corpus"]
    if recorded["sha256"] != corpus.sha256:
        raise ConfigError(
            f"The text of this run has changed: sha256 {corpus.sha256[:12]} now, {recorded['sha256'][:12]} when it "
            "began. Perplexities on different texts do not compare. Restore the text, or start a new run."
        )
    if recorded["tokenizer"] != corpus.tokenizer.to_dict():
        raise ConfigError(
            f"The tokenizer of this run has changed: {corpus.tokenizer.to_dict()} now, {recorded['tokenizer']} when "
            "it began. Perplexities of different tokens do not compare. Restore the file, or start a new run."
        )


class _KeepsFiles:
    """Writes each trial's files before anyone hears that it ended, and what the search says of itself."""

    def __init__(
        self, directory: RunDirectory, observer: SearchObserver, *, heartbeat: Heartbeat, uninterrupted: Uninterrupted
    ) -> None:
        self._directory = directory
        self._heartbeat = heartbeat
        self._observer = observer
        self._uninterrupted = uninterrupted

    def started(self, candidate: Candidate[Any]) -> None:
        self._heartbeat.started(candidate)
        self._observer.started(candidate)

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        self._heartbeat.retried(candidate, failure)
        self._observer.retried(candidate, failure)

    def ended(self, record: Record[Any]) -> None:
        write_trial_files(self._directory, record)
        self._heartbeat.ended(record)
        self._observer.ended(record)

    def tick(self) -> None:
        # An interrupt that came where Python drops it is raised here, not only when the next candidate ends.
        with self._uninterrupted():
            self._heartbeat.tick()
            self._observer.tick()
