import json
import multiprocessing
import os
from pathlib import Path

import optuna
import pytest

from nas.candidates import Evaluated, Failed
from nas.errors import NoStudyError, StudyError
from nas.journal import repair_journal
from nas.study import Study, journal_storage

GENOME = (1, 2, 0, 1, 2, 0)


def written(toy, path):
    study = toy.study(journal_storage(path))
    study.add(toy.candidate(0, GENOME))
    study.finish(0, Evaluated(objectives={"error": 2.5}, details={"curve": [[1, 2.0, None]]}))
    study.add(toy.candidate(1, (0,) * 6))
    study.finish(1, Failed("gpu_out_of_memory", "too large"))
    study.add(toy.candidate(2, (2,) * 6))
    return study


def test_a_study_read_back_is_the_study_written(toy, tmp_path):
    study = written(toy, tmp_path / "study.journal")
    again = toy.study(journal_storage(tmp_path / "study.journal"))
    assert list(again.history()) == list(study.history())
    assert again.running() == study.running()
    assert again.num_trials == 3


def test_a_candidate_is_on_record_before_its_result(toy, tmp_path):
    study = toy.study(journal_storage(tmp_path / "study.journal"))
    study.add(toy.candidate(0, GENOME))
    assert toy.study(journal_storage(tmp_path / "study.journal")).running()[0].genome == GENOME


def test_optuna_reads_states_values_and_metric_names(toy, tmp_path):
    written(toy, tmp_path / "study.journal")
    study = optuna.load_study(study_name="search", storage=journal_storage(tmp_path / "study.journal"))
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "FAIL", "RUNNING"]
    assert study.get_trials()[0].values == [2.5, 7.0]
    assert study.metric_names == ["error", "cost"]


def test_a_result_written_but_not_told_is_told_on_resume(toy, tmp_path):
    path = tmp_path / "study.journal"
    written(toy, path)
    lines = path.read_bytes().splitlines(keepends=True)
    told = [number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    path.write_bytes(b"".join(line for number, line in enumerate(lines) if number != told[0]))
    study = toy.study(journal_storage(path))
    assert study.history()[0].objectives["error"] == 2.5
    study.tell_written_results()
    states = [
        trial.state.name for trial in optuna.load_study(study_name="search", storage=journal_storage(path)).get_trials()
    ]
    assert states == ["COMPLETE", "FAIL", "RUNNING"]


def test_a_study_of_a_newer_version_is_refused(toy, tmp_path):
    storage = journal_storage(tmp_path / "study.journal")
    written(toy, tmp_path / "study.journal")
    storage.set_study_user_attr(storage.get_study_id_from_name("search"), "hybridnas:schema_version", 99)
    with pytest.raises(StudyError, match="schema version 99"):
        toy.study(journal_storage(tmp_path / "study.journal"))


def test_a_reader_creates_nothing(toy, tmp_path):
    path = tmp_path / "study.journal"
    path.touch()
    with pytest.raises(NoStudyError, match="no study 'search' yet"):
        Study(space=toy.space, objectives=("error", "cost"), storage=journal_storage(path), read_only=True)
    assert path.read_bytes() == b""


def test_a_study_of_other_objectives_is_refused(toy, tmp_path):
    written(toy, tmp_path / "study.journal")
    with pytest.raises(StudyError, match="minimises error, cost, not perplexity"):
        Study(space=toy.space, objectives=("perplexity",), storage=journal_storage(tmp_path / "study.journal"))


def test_a_study_of_something_else_is_refused(toy, tmp_path):
    storage = journal_storage(tmp_path / "study.journal")
    study = optuna.create_study(study_name="search", storage=storage, directions=["minimize", "minimize"])
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    with pytest.raises(StudyError, match="was not written by a search"):
        toy.study(journal_storage(tmp_path / "study.journal"))


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
