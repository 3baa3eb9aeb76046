import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from nas.activity import FILE, Heartbeat, read_activity


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def heartbeat(path, clock, **changes):
    settings = {"places": lambda: 4, "num_cpus": 2.0, "num_gpus": 0.5, "nodes": lambda: ("one", "two")} | changes
    return Heartbeat(path, clock=clock, **settings)


def trial(number):
    return SimpleNamespace(number=number)


def test_what_a_search_says_is_read_back(tmp_path, clock):
    heartbeat(tmp_path, clock).started(trial(7))
    found = read_activity(tmp_path)
    assert (found.num_running, found.num_places, found.num_cpus, found.num_gpus) == (1, 4, 2.0, 0.5)
    assert found.nodes == ("one", "two")
    assert datetime.now(UTC) - found.at < timedelta(minutes=1)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_changes_close_together_are_told_together(tmp_path, clock):
    beat = heartbeat(tmp_path, clock)
    beat.started(trial(0))
    beat.started(trial(1))
    beat.ended(trial(0))
    beat.started(trial(2))
    beat.retried(trial(2), failure=None)
    assert read_activity(tmp_path).num_running == 1
    clock.now += 3
    beat.tick()
    assert read_activity(tmp_path).num_running == 2


def test_while_nothing_changes_it_is_told_seldom(tmp_path, clock):
    beat = heartbeat(tmp_path, clock)
    beat.tick()
    first = (tmp_path / FILE).read_text()
    clock.now += 5
    beat.tick()
    assert (tmp_path / FILE).read_text() == first
    clock.now += 6
    beat.tick()
    assert (tmp_path / FILE).read_text() != first


def test_a_search_goes_on_where_nothing_can_be_told(tmp_path, clock):
    def breaks():
        raise ConnectionError("the cluster is gone")

    for beat in (heartbeat(tmp_path / "missing", clock), heartbeat(tmp_path, clock, places=breaks)):
        beat.started(trial(0))
        beat.tick()
        beat.close()
    assert read_activity(tmp_path) is None


def test_at_its_end_it_says_no_more(tmp_path, clock):
    beat = heartbeat(tmp_path, clock)
    beat.tick()
    beat.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", json.dumps({"at": "yesterday"}), json.dumps({"at": None}), "\x00"]
)
def test_what_cannot_be_read_was_not_said(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert read_activity(tmp_path) is None
