import pytest

from nas.errors import UsageError
from nas.winners.evaluation.published import published, published_beside
from nas.winners.evaluation.task_names import MMLU_SHOTS, SETS, asked_tasks, folders_of
from search_spaces.references import reference_names


def test_a_set_is_its_tasks_and_every_task_is_asked_once():
    asked = asked_tasks(["mmlu", "math", "gsm8k", "sciq"])
    assert [(task.name, task.set_name, task.num_shots) for task in asked] == [
        ("mmlu", "mmlu", MMLU_SHOTS),
        ("gsm8k", "math", None),
        ("mathqa", "math", None),
        ("sciq", None, None),
    ]
    assert {task.num_shots for task in asked_tasks(["mmlu", "math"], num_shots=2)} == {2}


def test_the_harness_has_every_task_of_every_set():
    names = [task for task_set in SETS.values() for task in task_set.tasks]
    folders = folders_of(names, own=None)
    assert {folder.name for folder in folders} >= {"arc", "mmlu", "gsm8k", "fda"}
    assert all(folder.is_dir() for folder in folders)


def test_a_task_of_ones_own_comes_before_the_harness_s(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: piqa\n")
    assert folders_of(["piqa"], own=tmp_path) == [tmp_path]


def test_tasks_under_a_tag_are_found_by_it(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: one\ntag:\n  - mine\n  - other\n")
    assert folders_of(["other"], own=tmp_path) == [tmp_path]


@pytest.mark.parametrize(
    ("names", "words"),
    [(["comonsense"], "Did you mean 'commonsense'"), (["arc_esy"], "'arc_easy'"), (["xqzv"], "lm-eval ls tasks")],
)
def test_an_unknown_name_is_told_the_nearest(names, words):
    with pytest.raises(UsageError, match=words):
        folders_of(names, own=None)


def test_a_folder_of_tasks_that_is_none_says_so(tmp_path):
    with pytest.raises(UsageError, match="--task-folder"):
        folders_of(["piqa"], own=tmp_path / "nothing")


@pytest.mark.parametrize("names", [[], ["mmlu", ""]])
def test_no_name_is_refused(names):
    with pytest.raises(UsageError, match="sets are commonsense"):
        asked_tasks(names)


def test_published_figures_are_percentages_of_known_models_with_a_source():
    known = set(reference_names())
    for one in published():
        assert one.source
        assert one.model in known or "," in one.model
        assert all(0 < value < 100 for value in one.scores.values())


def test_beside_a_task_stand_those_who_published_it():
    beside = published_beside(["hellaswag", "fruit"])
    assert {one.model for one in beside} == {"smollm2-1.7b", "llama-3.2-1b", "qwen2.5-1.5b"}
    assert all(set(one.scores) == {"hellaswag"} for one in beside)
