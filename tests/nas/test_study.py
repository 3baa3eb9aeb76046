import json
import multiprocessing
import os
import pickle
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage

from nas.candidates import Evaluated, Failed
from nas.errors import NoStudyError, StudyError
from nas.storage.journal import repair_journal
from nas.storage.open import journal_storage, open_storage
from nas.study import Study
from nas.study_reader import StudyReader

GENOME = (1, 2, 0, 1, 2, 0)


@pytest.fixture(params=["memory", "journal", "postgresql"])
def reopen(request, tmp_path):
    """Opens the same storage again and again, each time as if by the next driver."""
    opened = []
    memory = InMemoryStorage()

    def open_again():
        for storage in opened:
            storage.release()
        if request.param == "memory":
            return memory
        url = tmp_path / "study.journal" if request.param == "journal" else request.getfixturevalue("database")
        opened.append(open_storage(url))
        return opened[-1]

    return open_again


def write(toy, storage):
    study = toy.study(storage)
    study.add(toy.candidate(0, GENOME))
    study.finish(0, Evaluated(objectives={"error": 2.5}, details={"curve": [[1, 2.0, None]]}))
    study.add(toy.candidate(1, (0,) * 6))
    study.finish(1, Failed("gpu_out_of_memory", "too large"))
    study.add(toy.candidate(2, (2,) * 6))
    return study


def written(toy, path):
    return write(toy, journal_storage(path))


def test_a_study_read_back_is_the_study_written(toy, reopen):
    study = write(toy, reopen())
    again = toy.study(reopen())
    assert list(again.history()) == list(study.history())
    assert again.running() == study.running()
    assert again.num_trials == 3


def test_a_candidate_is_on_record_before_its_result(toy, reopen):
    study = toy.study(reopen())
    study.add(toy.candidate(0, GENOME))
    assert toy.study(reopen()).running()[0].genome == GENOME


def test_what_was_tried_before_is_on_record(toy, reopen):
    study = write(toy, reopen())
    study.retry(2, Failed("lost_worker", "The node is gone."))
    again = toy.study(reopen())
    assert again.attempts(2) == (Failed("lost_worker", "The node is gone."),)
    again.finish(2, Evaluated(objectives={"error": 1.0}))
    assert toy.study(reopen()).history()[2].attempts == (Failed("lost_worker", "The node is gone."),)


def test_optuna_reads_states_values_and_metric_names(toy, reopen):
    write(toy, reopen())
    study = optuna.load_study(study_name="search", storage=reopen())
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "FAIL", "RUNNING"]
    assert study.get_trials()[0].values == [2.5, 7.0]
    assert study.metric_names == ["error", "cost"]


def test_a_result_written_but_not_told_is_told_on_resume(toy, reopen):
    study = write(toy, reopen())
    result = json.dumps(
        {
            "finish_index": 2,
            "status": "finished",
            "objectives": {"error": 1.5, "cost": 13.0},
            "failure": None,
            "details": {},
            "finished_at": "2026-01-01T00:00:00+00:00",
        }
    )
    storage = reopen()
    storage.set_trial_user_attr(study._trial_ids[2], "result", result)
    resumed = toy.study(storage)
    assert resumed.history()[2].objectives["error"] == 1.5
    resumed.tell_written_results()
    trials = optuna.load_study(study_name="search", storage=reopen()).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_study_of_a_newer_version_is_refused(toy, reopen):
    write(toy, reopen())
    storage = reopen()
    storage.set_study_user_attr(storage.get_study_id_from_name("search"), "hybridnas:schema_version", 99)
    with pytest.raises(StudyError, match="schema version 99"):
        toy.study(storage)


def test_a_reader_creates_nothing(toy, reopen):
    with pytest.raises(NoStudyError, match="no study 'search' yet"):
        Study(space=toy.space, objectives=("error", "cost"), storage=reopen(), read_only=True)
    assert reopen().get_all_studies() == []


def test_a_study_of_other_objectives_is_refused(toy, reopen):
    write(toy, reopen())
    with pytest.raises(StudyError, match="minimises error, cost, not perplexity"):
        Study(space=toy.space, objectives=("perplexity",), storage=reopen())


def test_a_study_of_something_else_is_refused(toy, reopen):
    study = optuna.create_study(study_name="search", storage=reopen(), directions=["minimize", "minimize"])
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    with pytest.raises(StudyError, match="was not written by a search"):
        toy.study(reopen())


def test_completion_is_of_one_plan(toy, reopen):
    study = write(toy, reopen())
    study.mark_complete({"evaluations": 3})
    again = toy.study(reopen())
    assert again.is_complete({"evaluations": 3})
    assert not again.is_complete({"evaluations": 4})


@pytest.mark.parametrize("num_bytes", [1, 20, 150])
def test_a_torn_last_line_is_cut_and_kept_and_the_rest_is_read(toy, tmp_path, num_bytes):
    path = tmp_path / "study.journal"
    written(toy, path)
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole + last[:num_bytes])
    repair = repair_journal(path)
    assert repair is not None
    assert repair.num_bytes == num_bytes
    assert str(num_bytes) in str(repair)
    assert path.read_bytes() == whole
    assert repair.saved_as.read_bytes() == last[:num_bytes] + b"\n"
    study = toy.study(journal_storage(path))
    study.finish(2, Evaluated(objectives={"error": 1.0}))
    assert len(toy.study(journal_storage(path)).history()) == 3


def test_a_last_line_of_zeros_is_cut_too(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 50 + b"\n")
    assert repair_journal(path).num_bytes == 51
    assert path.read_bytes() == whole


def test_a_journal_that_is_whole_is_left_alone(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    before = path.read_bytes()
    assert repair_journal(path) is None
    assert repair_journal(tmp_path / "none.journal") is None
    assert path.read_bytes() == before


def test_damage_in_the_middle_is_refused_with_its_line(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    with pytest.raises(StudyError, match="Line 4 of"):
        repair_journal(path)


def test_the_lock_a_killed_writer_left_does_not_stop_the_next(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    Path(f"{path}.lock").symlink_to(path)
    repair_journal(path)
    study = toy.study(journal_storage(path))
    study.finish(2, Evaluated(objectives={"error": 1.0}))
    assert len(study.history()) == 3


def _write_and_die(path, toy):
    study = written(toy, path)
    study.finish(2, Evaluated(objectives={"error": 3.0}))
    os.kill(os.getpid(), 9)


def test_what_was_written_survives_kill_minus_nine(toy, tmp_path):
    path = tmp_path / "study.journal"
    process = multiprocessing.get_context("fork").Process(target=_write_and_die, args=(path, toy))
    process.start()
    process.join()
    assert process.exitcode == -9
    assert [record.status for record in toy.study(journal_storage(path)).history()] == [
        "finished",
        "failed",
        "finished",
    ]


def reader(toy, path, name="search"):
    return StudyReader(path, name=name, space=toy.space, objectives=toy.problem.objectives)


def test_a_reader_of_the_journal_sees_what_the_writer_does(toy, tmp_path):
    path = tmp_path / "study.journal"
    study = written(toy, path)
    study.retry(2, Failed("lost_worker", "The node is gone."))
    study.mark_complete({"evaluations": 3})
    found = reader(toy, path)
    assert list(found.history()) == list(study.history())
    assert found.running() == study.running()
    assert found.num_trials == 3
    assert found.attempts(2) == (Failed("lost_worker", "The node is gone."),)
    assert found.is_complete({"evaluations": 3})
    assert pickle.loads(pickle.dumps(found.running())) == study.running()


def test_a_reader_tells_studies_of_one_journal_apart(toy, tmp_path):
    path = tmp_path / "study.journal"
    storage = journal_storage(path)
    first, second = (
        Study(space=toy.space, objectives=toy.problem.objectives, storage=storage, name=name) for name in ("a", "b")
    )
    first.add(toy.candidate(0, GENOME))
    second.add(toy.candidate(0, (3,) * 6))
    first.add(toy.candidate(1, (2,) * 6))
    first.finish(0, Evaluated(objectives={"error": 2.5}))
    assert list(reader(toy, path, "a").history()) == list(first.history())
    assert reader(toy, path, "a").running() == first.running()
    assert reader(toy, path, "b").running() == second.running()
    with pytest.raises(NoStudyError):
        reader(toy, path, "c")


def test_a_description_is_read_however_the_words_around_it_look(toy, tmp_path):
    path = tmp_path / "study.journal"
    study = toy.study(journal_storage(path))
    plain = toy.candidate(0, GENOME)
    tricky = replace(
        plain,
        proposal=replace(plain.proposal, mutation='a, "description": {} b', sampling={"x": 1, "description": "cheap"}),
        description={"target": {"description": [1, "é"]}, "proxy": {}},
    )
    study.add(tricky)
    for found in (reader(toy, path).running()[0], toy.study(journal_storage(path)).running()[0]):
        assert found == tricky
        assert found.description["target"] == {"description": [1, "é"]}


def test_a_reader_leaves_a_line_that_is_being_written(toy, tmp_path):
    path = tmp_path / "study.journal"
    study = written(toy, path)
    whole = path.read_bytes()
    for torn in (whole.splitlines(keepends=True)[-1][:30], b"\0" * 50 + b"\n"):
        path.write_bytes(whole + torn)
        assert list(reader(toy, path).history()) == list(study.history())


def test_a_reader_names_the_line_that_is_damaged(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"garbage\n", *lines[3:]]))
    with pytest.raises(StudyError, match="Line 4 of"):
        reader(toy, path)
