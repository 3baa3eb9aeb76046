"""`nas proxy score`, as a user types it; what it does with a run is in the integration tests."""

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import UsageError


@pytest.mark.parametrize("option", [("--task-folder", "tasks"), ("--trial", "3"), ("--run-code",)])
def test_an_option_of_tasks_without_tasks_is_refused(option, tmp_path):
    found = CliRunner().invoke(app, ["proxy", "score", str(tmp_path), *option]).exception
    assert isinstance(found, UsageError)
    assert f"got {option[0]}. Add --tasks" in str(found)
