"""`nas proxy probe`, as a user types it."""

import json

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from proxies.errors import SettingsError
from search_spaces.errors import NasError


def probe(*arguments):
    result = CliRunner().invoke(app, ["proxy", "probe", *map(str, arguments)])
    if isinstance(result.exception, NasError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


SMALL = ("d f", "--hidden-size", 64, "--difficulty", "tiny", "--device", "cpu")


def test_a_table_names_every_task_with_its_score():
    lines = probe(*SMALL, "--tasks", "memorization,needle_retrieval", "--seeds", 2).splitlines()
    assert lines[0] == "d f, width 64, difficulty tiny"
    assert lines[1].split() == ["task", "score", "accuracy", "chance", "steps", "seconds"]
    assert [line.split()[0] for line in lines[3:5]] == ["memorization", "needle_retrieval"]
    assert "±" in lines[3]
    assert "at 16," in lines[4]
    assert "at 64" in lines[4]
    assert lines[-1].startswith("Recall error ")


def test_json_is_one_document_with_every_seed():
    content = json.loads(probe(*SMALL, "--tasks", "memorization", "--seeds", 2, "--json"))
    assert content["pattern"] == "d f"
    assert [each["seed"] for each in content["seeds"]] == [0, 1]
    for each in content["seeds"]:
        found = each["probes"]["memorization"]
        assert each["recall_error"] == pytest.approx(1 - found["score"])
        assert found["accuracy"] == found["answers"][0]["accuracy"]


def test_an_unknown_task_is_refused_with_the_near_miss():
    with pytest.raises(SettingsError, match=r"no probe 'memorisation'\. Did you mean 'memorization'"):
        probe(*SMALL, "--tasks", "memorisation")
