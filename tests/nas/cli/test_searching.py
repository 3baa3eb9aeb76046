"""What an interrupt comes to, whatever breaks on the way out of it."""

import signal

import pytest
import typer

from nas.cli.searching import INTERRUPTED_EXIT_CODE, _search_to_its_end


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("The cluster is gone."), SystemExit(1)])
def test_after_an_interrupt_the_exit_code_is_75_whatever_breaks(tmp_path, capsys, error):
    def search(observer, uninterrupted):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise error

    with pytest.raises(typer.Exit) as ended:
        _search_to_its_end(tmp_path, search)
    assert ended.value.exit_code == INTERRUPTED_EXIT_CODE == 75
    words = capsys.readouterr().err
    assert "Interrupted before the search began; nothing was written." in words
    assert ("OSError: The cluster is gone." in words) == isinstance(error, OSError)


def test_an_error_without_an_interrupt_stays_an_error(tmp_path):
    def search(observer, uninterrupted):
        raise OSError("The disk is full.")

    with pytest.raises(OSError, match="The disk is full"):
        _search_to_its_end(tmp_path, search)
