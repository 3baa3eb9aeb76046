"""The command itself: what it refuses, and what it serves, in a process of its own."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.config import load_config
from nas.run_directory import RunDirectory
from nas.storage.open import journal_storage
from nas.study import Study
from search_spaces.errors import NasError


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    directory.config.write_text(load_config("flash-1b-decode").resolved().to_yaml())
    return directory.path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(*arguments: object) -> NasError:
    error = CliRunner().invoke(app, ["dashboard", *map(str, arguments)]).exception
    assert isinstance(error, NasError), error
    return error


@contextmanager
def served(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give the process and what it said before it began to serve."""
    port = free_port()
    command = [sys.executable, "-m", "nas.cli.main", "dashboard", *map(str, arguments), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = ""
            while "stop with Ctrl-C" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            give_up = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < give_up
                    time.sleep(0.05)
            yield process, said
        finally:
            process.terminate()
            process.communicate(timeout=30)


def address_in(said: str) -> str:
    found = re.search(r"http://\S+", said)
    assert found is not None
    return found[0]


def get(address: str, *, host: str | None = None) -> tuple[int, str]:
    asked = urllib.request.Request(address, headers={} if host is None else {"Host": host})
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(asked, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_another_host_is_refused_without_a_token(run):
    error = refused(run, "--host", "0.0.0.0")
    assert error.exit_code == 2
    assert "--token" in str(error)
    assert "--insecure" in str(error)


def test_a_token_and_none_exclude_each_other(run):
    assert refused(run, "--token", "x", "--insecure").exit_code == 2
    assert refused(run, "--token", " ").exit_code == 2


def test_a_port_in_use_is_one_clear_message(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = refused(run, "--port", taken.getsockname()[1])
    assert error.exit_code == 4
    assert "--port" in str(error)


def test_what_is_no_run_is_refused_with_the_code_of_its_kind(run, tmp_path):
    assert refused(tmp_path).exit_code == 5
    assert refused(tmp_path / "nothing").exit_code == 5
    assert refused("sqlite:///nothing.db").exit_code == 4
    assert refused("mysql://host/database").exit_code == 3
    (run / "config.yaml").write_text("schema_version: 99\n")
    assert refused(run).exit_code == 3


def test_a_study_of_a_newer_version_is_refused(run):
    config = load_config("flash-1b-decode")
    study = Study(
        space=config.load_space(), objectives=config.objectives, storage=journal_storage(run / "study.journal")
    )
    study._storage.set_study_user_attr(study._id, "hybridnas:schema_version", 99)
    error = refused(run)
    assert error.exit_code == 1
    assert "schema version 99" in str(error)


def test_what_can_be_read_is_served_beside_what_cannot(run, tmp_path):
    journal = tmp_path / "optimize.journal"
    Study(space=object(), objectives=("error", "cost"), storage=journal_storage(journal), name="toy")  # type: ignore[arg-type]  # nothing is proposed
    with served(run, journal, tmp_path / "nothing") as (_, said):
        assert "error: There is no run directory or storage" in said
        address = address_in(said)
        status, page = get(address)
        assert status == 200
        assert "<html" in page
        status, _ = get(address, host="evil.example")
        assert status == 403
        status, answer = get(f"{address}/look?query=&shown=")
        assert status == 200
        assert "toy" in json.dumps(json.loads(answer))


def test_a_journal_that_cannot_be_opened_hides_no_other_run(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "study.journal").unlink(missing_ok=True)
    (other / "study.journal").mkdir()
    with served(other, run) as (_, said):
        assert "Is a directory" in said
        status, _ = get(f"{address_in(said)}/look?query=&shown=")
        assert status == 200


def test_a_token_that_is_made_is_printed_and_needed(run):
    with served(run, "--token", "auto") as (_, said):
        address = address_in(said)
        plain, _, token = address.partition("/?token=")
        assert len(token) > 20
        assert get(plain)[0] == 401
        assert get(f"{plain}/look?query=&shown=")[0] == 401
        status, page = get(address)
        assert status == 200
        assert "<html" in page
