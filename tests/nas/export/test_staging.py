import signal
import subprocess
import sys

import pandas as pd
import pytest

from dashboards.frame import empty_frame
from nas.errors import RunDirectoryError, UsageError
from nas.export.staging import require_free, staged


def test_an_output_appears_whole(tmp_path):
    with staged(tmp_path / "deep" / "out", is_folder=True) as place:
        (place / "a").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["out"]
    assert (tmp_path / "deep" / "out" / "a").read_text() == "a"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_or_an_interruption_nothing_new_is_there_and_the_old_is(tmp_path, error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")

    def fail():
        with staged(tmp_path / "out", is_folder=True) as place:
            (place / "new").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "old"]


def test_a_file_and_a_folder_are_replaced(tmp_path):
    for is_folder in (False, True):
        for text in ("first", "second"):
            with staged(tmp_path / f"{is_folder}", is_folder=is_folder) as place:
                (place / "hybridnas.json" if is_folder else place).write_text(text)
    assert (tmp_path / "False").read_text() == "second"
    assert (tmp_path / "True" / "hybridnas.json").read_text() == "second"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_stands_there_decides_what_may(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    model = '{"schema_version": 1, "architecture": {}, "provenance": {}}'
    for name, mark, text in (
        ("export", "hybridnas.json", model),
        ("frontier", "hybridnas.json", '{"frontier": []}'),
        ("mine", "frontier.csv", "trial,latency_ms"),
        ("other", "hybridnas.json", "{"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text(text)
    require_free(tmp_path / "none", force=False, is_folder=True)
    require_free(tmp_path / "empty", force=False, is_folder=True)
    require_free(tmp_path / "file", force=True, is_folder=False)
    for name in ("export", "frontier"):
        require_free(tmp_path / name, force=True, is_folder=True)
        with pytest.raises(RunDirectoryError, match="--force"):
            require_free(tmp_path / name, force=False, is_folder=True)
    for name in ("mine", "other"):
        with pytest.raises(RunDirectoryError, match="no export wrote"):
            require_free(tmp_path / name, force=True, is_folder=True)
    with pytest.raises(UsageError, match="is a file"):
        require_free(tmp_path / "file", force=True, is_folder=True)


def test_a_file_is_replaced_only_if_an_export_wrote_it(tmp_path):
    (tmp_path / "best.yaml").write_text("schema_version: 1\narchitecture: {}\nprovenance: {}\n")
    (tmp_path / "best.json").write_text('{"schema_version": 1, "architecture": {}, "provenance": {}}')
    empty_frame().to_csv(tmp_path / "trials.csv", index=False)
    empty_frame().to_parquet(tmp_path / "trials.parquet")
    for file in list(tmp_path.iterdir()):
        require_free(file, force=True, is_folder=False)
    (tmp_path / "config.yaml").write_text("name: mine\n")
    (tmp_path / "study.journal").write_text('{"op_code": 0}\n{"op_code": 3}\n')
    (tmp_path / "letters.txt").write_bytes(b"dear \xff: [")
    pd.DataFrame({"latency_ms": [1.0]}).to_parquet(tmp_path / "latency.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for name in ("config.yaml", "study.journal", "letters.txt", "latency.parquet", "broken.parquet"):
        with pytest.raises(RunDirectoryError, match="no export wrote"):
            require_free(tmp_path / name, force=True, is_folder=False)


@pytest.mark.parametrize("name", ["out", "out.replaced"])
def test_what_a_link_points_to_is_written(tmp_path, name):
    (tmp_path / "link").symlink_to(name)
    for text in ("first", "second"):
        with staged(tmp_path / "link", is_folder=True) as place:
            (place / "a").write_text(text)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / name / "a").read_text() == "second"


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from nas.export.staging import staged
with staged(Path(sys.argv[1]), is_folder=True) as place:
    (place / "half").write_text("half")
    {kill}
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
KILL_WHILE_REPLACING = f"Path.replace = lambda *_: {KILL}"


@pytest.mark.parametrize("kill", [KILL, KILL_WHILE_REPLACING])
def test_what_a_killed_export_left_goes_with_the_next_and_what_was_there_survives(tmp_path, kill):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING.format(kill=kill), out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".out.export-*"))) == 1

    def fail():
        with staged(out, is_folder=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert (out / "old").read_text() == "old"


def test_an_export_to_the_same_output_leaves_one_that_is_under_way_alone(tmp_path):
    with staged(tmp_path / "out", is_folder=True) as first:
        with staged(tmp_path / "out", is_folder=True) as second:
            (second / "a").write_text("second")
        (first / "a").write_text("first")
    assert (tmp_path / "out" / "a").read_text() == "first"
