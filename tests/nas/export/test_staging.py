import pytest

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
    for name, mark in (("export", "hybridnas.json"), ("frontier", "frontier.csv"), ("mine", "letters.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text("")
    require_free(tmp_path / "none", force=False, is_folder=True)
    require_free(tmp_path / "empty", force=False, is_folder=True)
    require_free(tmp_path / "file", force=True, is_folder=False)
    for name in ("export", "frontier"):
        require_free(tmp_path / name, force=True, is_folder=True)
        with pytest.raises(RunDirectoryError, match="--force"):
            require_free(tmp_path / name, force=False, is_folder=True)
    with pytest.raises(RunDirectoryError, match="no export wrote"):
        require_free(tmp_path / "mine", force=True, is_folder=True)
    with pytest.raises(UsageError, match="is a file"):
        require_free(tmp_path / "file", force=True, is_folder=True)
