import logging

import pytest

from dashboards.serving import studies as studies_module
from dashboards.serving.studies import Studies, Study
from dashboards.view import View
from search_spaces.errors import NasError


class Source:
    """A study that fails as it is told to, and whose clock is turned by hand."""

    def __init__(self, results):
        self.results, self.error, self.at, self.num_loads, self.takes_s, self.now = results, None, 0, 0, 0.0, 100.0

    def load(self):
        self.num_loads += 1
        self.now += self.takes_s
        if self.error is not None:
            raise self.error
        return self.results

    def study(self, name="search"):
        return Study(name=name, load=self.load, revision=lambda: self.at)


@pytest.fixture
def source(results, monkeypatch):
    made = Source(results)
    monkeypatch.setattr(studies_module.time, "monotonic", lambda: made.now)
    return made


def test_a_study_is_read_again_only_when_it_has_changed(source):
    followed = Studies([source.study()])
    first = followed.read("search")
    assert followed.read("search") is first
    source.at = 1
    assert followed.read("search") is not first
    assert source.num_loads == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NasError("The run directory x is gone."), "The run directory x is gone."),
        (PermissionError(13, "Permission denied", "x/study.journal"), "Permission denied: x/study.journal"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_a_study_that_cannot_be_read_says_why_once_and_keeps_what_was_read(source, caplog, error, words):
    followed = Studies([source.study()])
    source.at, source.error = (followed.read("search"), 1)[1], error
    for _ in range(3):
        reading = followed.read("search")
        assert reading.error == words
        assert reading.results is source.results
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert ("Traceback" in caplog.text) == isinstance(error, ValueError)
    source.error = None
    assert followed.read("search").error == ""


def test_a_study_that_takes_long_to_fail_does_not_hold_up_the_others_every_time(source):
    followed = Studies([source.study()])
    source.error, source.takes_s = TimeoutError("no answer"), 3.0
    followed.read("search")
    followed.read("search")
    assert source.num_loads == 1
    source.now += 13
    followed.read("search")
    assert source.num_loads == 2


def test_one_that_fails_hides_no_other(source):
    other = Source(source.results)
    source.error = OSError("locked")
    followed = Studies([source.study(), other.study("other")])
    readings = followed.shown(View(overlay=("other",)))
    assert [reading.name for reading in readings] == ["search", "other"]
    assert readings[0].error
    assert readings[1].results is other.results


def test_names_must_differ(source):
    with pytest.raises(ValueError, match="different names"):
        Studies([source.study(), source.study()])
