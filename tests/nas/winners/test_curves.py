import json

import pytest

from nas.errors import UsageError
from nas.winners.curves import read_trainings, trainings_of_run
from nas.winners.recipe import load_recipe
from nas.winners.training_directory import TrainingDirectory
from search_spaces import architecture_from_pattern


def begin(folder, *, steps=3):
    directory = TrainingDirectory(folder)
    directory.create()
    recipe = load_recipe("quick-cpu", overrides=["stages=[{tokens: 3072, sequence_tokens: 256}]", "batch_size=4"])
    directory.write_architecture(architecture_from_pattern("d f", hidden_size=64, vocab_size=257), provenance={})
    directory.write_environment({"device": "a CPU"})
    directory.write_recipe(recipe)
    lines = [json.dumps({"step": step, "tokens": 1024 * step, "loss": 5.0}) for step in range(1, steps + 1)]
    directory.log.write_text("\n".join([*lines, '{"step": 4, "tok']), encoding="utf-8")
    return directory


def test_a_log_becomes_a_row_an_event_and_half_a_line_none(tmp_path):
    begin(tmp_path / "trial-1")
    (run,) = read_trainings([tmp_path / "trial-1"])
    assert list(run.events["tokens"]) == [1024, 2048, 3072]
    assert (run.name, run.model, run.device, run.planned_tokens) == ("trial-1", "d f", "a CPU", 3072)


def test_a_training_is_running_while_it_is_locked_finished_at_its_end_and_else_interrupted(tmp_path):
    whole, half = begin(tmp_path / "whole"), begin(tmp_path / "half", steps=2)
    assert [run.state for run in read_trainings([whole.path, half.path])] == ["finished", "interrupted"]
    with half.lock:
        assert read_trainings([half.path])[0].state == "running"


def test_a_runs_trainings_come_in_the_order_of_their_numbers(tmp_path):
    for name in ("trial-10", "trial-2"):
        begin(tmp_path / "training" / name)
    (tmp_path / "training" / "empty").mkdir()
    assert [run.name for run in trainings_of_run(tmp_path)] == ["trial-2", "trial-10"]


def test_trainings_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("a", "b"):
        begin(tmp_path / name / "trial-1")
    runs = read_trainings([tmp_path / "a" / "trial-1", tmp_path / "b" / "trial-1"])
    assert [run.name for run in runs] == ["a/trial-1", "b/trial-1"]


def test_a_folder_without_a_training_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no training"):
        read_trainings([tmp_path])
