import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import UsageError
from nas.winners.recipe import load_recipe
from nas.winners.training_directory import TrainingDirectory
from search_spaces import architecture_from_pattern


def begin(folder):
    directory = TrainingDirectory(folder)
    directory.create()
    directory.write_architecture(architecture_from_pattern("a f", hidden_size=64, vocab_size=257), provenance={})
    directory.write_recipe(load_recipe("quick-cpu"))
    directory.log.write_text('{"step": 10, "tokens": 10240, "loss": 4.0}\n', encoding="utf-8")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_one_training_is_reported_in_its_own_folder(tmp_path):
    folder = begin(tmp_path / "one")
    result = run(folder)
    assert result.exit_code == 0, result.exception
    assert result.stdout.strip() == str(folder / "report.html")
    assert "interrupted" in (folder / "report.html").read_text(encoding="utf-8")


def test_several_trainings_share_one_page(tmp_path):
    begin(tmp_path / "one")
    begin(tmp_path / "two")
    result = run(tmp_path / "one", tmp_path / "two", "-o", tmp_path / "both.html")
    assert result.exit_code == 0, result.exception
    assert "2 trainings" in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_several_trainings_need_a_place_for_their_page(tmp_path):
    result = run(begin(tmp_path / "one"), begin(tmp_path / "two"))
    assert isinstance(result.exception, UsageError)
    assert "--output FILE.html" in str(result.exception)


def test_a_training_beside_another_folder_is_refused(tmp_path):
    result = run(begin(tmp_path / "one"), tmp_path, "-o", tmp_path / "both.html")
    assert isinstance(result.exception, UsageError)
    assert f"{tmp_path} holds no training" in str(result.exception)


@pytest.mark.parametrize("trainings", [0, 1])
def test_a_folder_of_the_wrong_kind_as_output_is_refused(tmp_path, trainings):
    folder = begin(tmp_path / "one") if trainings else tmp_path
    assert isinstance(run(folder, "-o", tmp_path).exception, UsageError)
