"""A study in a real PostgreSQL: side by side, with one writer each, through a server that goes away."""

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections import Counter

import optuna
import psycopg
import pytest
from optuna.storages import InMemoryStorage

import nas
from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.errors import ConfigError, NoStudyError, StorageError, StudyInUseError
from nas.evolution.registry import make_strategy
from nas.storage.open import journal_storage, open_storage
from nas.storage.patience import PatientStorage
from nas.storage.postgresql import ServerGoneError
from nas.storage.url import masked
from nas.study import Study
from nas.study_reader import StudyReader


def studied(toy, url, name="search", notices=None):
    storage = open_storage(url, notice=(notices if notices is not None else []).append)
    return Study(space=toy.space, objectives=toy.problem.objectives, storage=storage, name=name)


def searched(toy, study, *, num_evaluations, executor=None, seed=0):
    run(
        toy.problem,
        make_strategy("random", toy.problem, {}),
        study=study,
        executor=executor or toy.executor(),
        num_evaluations=num_evaluations,
        seed=seed,
    )
    return study.history()


def test_studies_lie_side_by_side_in_one_database(toy, database):
    one, other = studied(toy, database, "one"), studied(toy, database, "other")
    first = threading.Thread(target=searched, args=(toy, one), kwargs={"num_evaluations": 8})
    first.start()
    searched(toy, other, num_evaluations=12, seed=1)
    first.join()
    one.close()
    other.close()
    for name, count in (("one", 8), ("other", 12)):
        again = studied(toy, database, name)
        assert sorted(record.number for record in again.history()) == list(range(count))
        again.close()


def test_a_second_writer_is_refused_and_hears_who_the_first_is(toy, database):
    study = studied(toy, database)
    with pytest.raises(StudyInUseError, match=f"hybridnas .* process {os.getpid()}.* does"):
        studied(toy, database)
    assert StudyInUseError.exit_code == 5
    study.close()
    studied(toy, database).close()


@pytest.mark.parametrize("version", [12, 11])
def test_a_reader_needs_no_lock_and_reads_what_is_written(toy, database, monkeypatch, version):
    # With tables of another version it reads through Optuna, to the same end.
    monkeypatch.setattr("nas.storage.postgresql_reading.SCHEMA_VERSION", version)
    study = studied(toy, database)
    searched(toy, study, num_evaluations=6)
    study.add(toy.candidate(6, (0,) * 6))
    study.retry(6, Failed("lost_worker", "The node is gone."))
    study.mark_complete({"evaluations": 6})
    reader = StudyReader(database, name="search", space=toy.space, objectives=toy.problem.objectives)
    assert list(reader.history()) == list(study.history())
    assert reader.running() == study.running()
    assert reader.is_complete({"evaluations": 6})
    study.close()


def test_a_reader_of_an_empty_database_says_that_there_is_no_study(toy, database):
    for _ in range(2):
        with pytest.raises(NoStudyError, match="no study 'search' yet"):
            StudyReader(database, name="search", space=toy.space, objectives=toy.problem.objectives)


def test_a_server_stopped_in_the_middle_of_a_search_is_waited_for(toy, postgresql, database, evaluate_toy):
    notices, evaluated = [], Counter()
    restarted = threading.Event()

    def restart():
        time.sleep(1.5)
        postgresql.start()
        restarted.set()

    def evaluate(genome, seed):
        evaluated[genome] += 1
        if sum(evaluated.values()) == 5:
            postgresql.stop()
            threading.Thread(target=restart).start()
        return evaluate_toy(genome, seed)

    study = studied(toy, database, notices=notices)
    try:
        history = searched(toy, study, num_evaluations=12, executor=toy.executor(evaluate))
    finally:
        restarted.wait(30)
    assert [record.number for record in history] == list(range(12))
    assert sum(evaluated.values()) == 12
    assert ["is gone" in words for words in notices] == [True, False]
    assert "is back" in notices[1]
    study.close()
    again = studied(toy, database)
    assert list(again.history()) == list(history)
    again.close()


def test_a_trial_whose_answer_was_lost_is_made_once(toy, database):
    storage = open_storage(database, notice=[].append)
    assert isinstance(storage, PatientStorage)
    study = Study(space=toy.space, objectives=toy.problem.objectives, storage=storage)
    inner = storage._inner
    create = inner.create_new_trial

    def loses_the_answer(study_id, template_trial=None):
        create(study_id, template_trial)
        inner.create_new_trial = create
        raise ServerGoneError("server closed the connection unexpectedly")

    inner.create_new_trial = loses_the_answer
    study.add(toy.candidate(0, (1,) * 6))
    inner.create_new_trial = loses_the_answer
    study.add(toy.candidate(1, (1,) * 6))
    assert [trial.number for trial in storage.get_all_trials(study._id)] == [0, 1]
    study.finish(0, Evaluated(objectives={"error": 1.0}))
    study.close()


@pytest.mark.parametrize("lost", ["set_trial_state_values", "set_trial_user_attr", "create_new_study"])
def test_what_was_written_but_not_answered_is_written_once(toy, lost):
    inner, notices = InMemoryStorage(), []
    method = getattr(inner, lost)

    def loses_the_answer(*arguments, **named):
        method(*arguments, **named)
        setattr(inner, lost, method)
        raise ServerGoneError("gone")

    setattr(inner, lost, loses_the_answer)
    storage = PatientStorage(
        inner,
        where="here",
        is_gone=lambda error: isinstance(error, ServerGoneError),
        patience_s=5,
        notice=notices.append,
    )
    study = toy.study(storage)
    study.add(toy.candidate(0, (1,) * 6))
    study.finish(0, Evaluated(objectives={"error": 1.0}))
    assert [trial.state.name for trial in storage.get_all_trials(0)] == ["COMPLETE"]
    assert len(notices) == 2


def test_patience_that_is_over_is_one_clear_error(toy):
    inner = InMemoryStorage()
    study = toy.study(
        PatientStorage(
            inner, where="here", is_gone=lambda error: isinstance(error, OSError), patience_s=0.3, notice=[].append
        )
    )

    def gone(*_, **__):
        raise OSError("no such host")

    inner.create_new_trial = gone
    with pytest.raises(StorageError, match=r"here must come back within 0.3 s; it did not: no such host"):
        study.add(toy.candidate(0, (1,) * 6))
    assert StorageError.exit_code == 4


def _search_and_die(toy, url, after, evaluate):
    count = 0

    def dying(genome, seed):
        nonlocal count
        count += 1
        if count > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return evaluate(genome, seed)

    searched(toy, studied(toy, url), num_evaluations=10, executor=toy.executor(dying))


@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_driver_killed_and_resumed_ends_like_one_that_was_not(toy, database, evaluate_toy, after):
    process = multiprocessing.get_context("fork").Process(
        target=_search_and_die, args=(toy, database, after, evaluate_toy)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    study = studied(toy, database)
    study.tell_written_results()
    history = searched(toy, study, num_evaluations=10)
    whole = searched(toy, toy.study(), num_evaluations=10)
    assert [(record.number, record.genome, record.objectives) for record in history] == [
        (record.number, record.genome, record.objectives) for record in whole
    ]
    study.close()


def test_optimize_takes_a_url_and_goes_on_from_it(toy, database):
    def evaluate(genome):
        return {"error": float(sum(genome))}

    nas.optimize(toy.space, evaluate, strategy="random", num_evaluations=4, seed=0, study=database)
    history = nas.optimize(toy.space, evaluate, strategy="random", num_evaluations=7, seed=0, study=database)
    assert [record.number for record in history] == list(range(7))


def test_a_lock_lost_with_its_connection_is_taken_again_and_not_stolen(toy, database):
    study = studied(toy, database)
    end_locks = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(end_locks)
        study.add(toy.candidate(0, (1,) * 6))
        with pytest.raises(StudyInUseError):
            studied(toy, database)
        lock = next(iter(study._storage._locks.values()))
        other.execute(end_locks)
        other.execute("SELECT pg_advisory_lock(%s)", (lock._key,))
        with pytest.raises(StudyInUseError, match="One search at a time"):
            study.finish(0, Evaluated(objectives={"error": 1.0}))
    study.close()


def test_a_database_that_cannot_be_reached_is_one_error_at_once(postgresql):
    with pytest.raises(StorageError, match=r"postgresql://search:\*\*\*@127.0.0.1:1/none cannot be used") as found:
        open_storage("postgresql://search:secret@127.0.0.1:1/none")
    assert "secret" not in str(found.value)
    with pytest.raises(StorageError, match="does not exist"):
        open_storage(postgresql.url("none"))


def test_a_missing_driver_names_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"pip install 'hybridnas\[postgresql\]'"):
        open_storage("postgresql://search@127.0.0.1/none")


def test_other_storages_are_refused():
    with pytest.raises(ConfigError, match="a file for one machine"):
        open_storage("sqlite:///study.db")


def test_passwords_are_masked_wherever_they_stand():
    assert masked("postgresql://me:secret@host:5432/runs?sslmode=require") == (
        "postgresql://me:***@host:5432/runs?sslmode=require"
    )
    assert "secret" not in masked("postgresql://host/runs?user=me&password=secret")
    assert masked("postgresql://me@host/runs") == "postgresql://me@host/runs"


def _fill_the_disk(toy, path, results):
    notices = []
    study = toy.study(journal_storage(path, notice=notices.append))
    study.add(toy.candidate(0, (1,) * 6))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, hard))
    threading.Timer(0.5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))).start()
    study.finish(0, Evaluated(objectives={"error": 1.0}))
    study.add(toy.candidate(1, (2,) * 6))
    results.put((notices, len(study.history()), study.num_trials))


def test_a_disk_that_is_full_for_a_while_leaves_whole_lines(toy, tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    path = tmp_path / "study.journal"
    process = context.Process(target=_fill_the_disk, args=(toy, path, results))
    process.start()
    notices, ended, started = results.get(timeout=60)
    process.join()
    assert ["is gone" in words for words in notices] == [True, False]
    assert (ended, started) == (1, 2)
    assert path.read_bytes().endswith(b"\n")
    again = toy.study(journal_storage(path))
    assert [record.number for record in again.history()] == [0]
    assert [candidate.number for candidate in again.running()] == [1]
    trials = optuna.load_study(study_name="search", storage=journal_storage(path)).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "RUNNING"]
