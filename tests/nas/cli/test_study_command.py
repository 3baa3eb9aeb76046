"""The commands on studies, as a user types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.config import load_config
from nas.storage.open import journal_storage
from nas.study import Study
from search_spaces.errors import NasError


@pytest.fixture
def run_directory(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    config = load_config("quick-cpu").resolved()
    (path / "config.yaml").write_text(config.to_yaml())
    Study(space=config.load_space(), objectives=config.objectives, storage=journal_storage(path / "study.journal"))
    return path


def nas(*arguments):
    result = CliRunner().invoke(app, ["study", *map(str, arguments)])
    if isinstance(result.exception, NasError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_a_study_leaves_is_listed_and_comes_back(run_directory, tmp_path):
    url = f"sqlite:///{tmp_path / 'all.db'}"
    assert "0 trials" in nas("export", run_directory, "--storage", url).stderr
    nas("export", run_directory, "--storage", url, "--name", "second")
    listed = json.loads(nas("list", url, "--json").stdout)
    assert [study["name"] for study in listed] == ["quick-cpu", "second"]
    assert "second" in nas("list", url).stdout
    nas("import", url, tmp_path / "back", "--name", "second")
    assert Path(tmp_path / "back" / "study.journal").exists()
    nas("import", url, "--name", "second", "--into", tmp_path / "copy.journal")
    assert "second" in nas("list", tmp_path / "copy.journal").stdout


def test_what_is_ambiguous_is_refused(run_directory, tmp_path):
    file = tmp_path / "all.journal"
    for name in ("one", "two"):
        nas("export", run_directory, "--storage", file, "--name", name)
    with pytest.raises(NasError, match=r"--name says which study; .* has one, two"):
        nas("import", file, tmp_path / "back")
    with pytest.raises(NasError, match="give DIR or --into"):
        nas("import", file, "--name", "one")
