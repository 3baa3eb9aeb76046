import subprocess
import sys

import pytest

from nas.errors import RunDirectoryError
from nas.run_directory import RunDirectory, write_atomically

HOLD = """
import sys
from pathlib import Path
from nas.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).lock:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_new_or_empty_folder_becomes_a_run_directory(tmp_path):
    RunDirectory.create(tmp_path / "a" / "b")
    RunDirectory.create(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match="new or empty"):
        RunDirectory.create(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_no_run_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="new or empty"):
        RunDirectory.create(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        RunDirectory.open(tmp_path)


def test_a_place_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be made"):
        RunDirectory.create(tmp_path / "file" / "below")


def test_a_second_writer_is_told_who_the_first_is_and_a_kill_frees_the_lock(tmp_path):
    directory = RunDirectory.create(tmp_path / "run")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert directory.lock.is_held
        with pytest.raises(RunDirectoryError, match=f"process {holder.pid} does"), directory.lock:
            pass
        holder.kill()
    assert not directory.lock.is_held
    with directory.lock:
        assert directory.lock.is_held
    assert not directory.lock.is_held


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "report.html"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
