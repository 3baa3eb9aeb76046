import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from pandas.testing import assert_frame_equal

from nas.candidates import Candidate, Evaluated, Failed, Proposal, Stopped
from nas.config import load_config
from nas.errors import NoStudyError, RunDirectoryError, StorageError, StudyError
from nas.results.followed import distinct_names, followed
from nas.results.live import LiveRun
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.storage.open import journal_storage, open_storage
from nas.study import Study
from nas.study_export import export_study, opened
from nas.trial_choice import knee
from search_spaces.errors import NasError


class Written:
    """A run directory of a search over language models whose results are made up, written step by step."""

    def __init__(self, path: Path) -> None:
        self.directory = RunDirectory.create(path)
        self.config = load_config("flash-1b-decode").resolved()
        self.directory.config.write_text(self.config.to_yaml(), encoding="utf-8")
        self.space: Any = self.config.load_space()
        self.rng = np.random.default_rng(0)

    def begin(self) -> None:
        self.study: Study[Any] = Study(
            space=self.space,
            objectives=self.config.objectives,
            storage=journal_storage(self.directory.journal),
            name=self.config.study_name,
        )

    def add(self, number: int, *, repeat_of: int | None = None) -> None:
        genome = self.space.sample(rng=self.rng)
        target = self.space.decode(genome)
        self.study.add(
            Candidate(
                number=number,
                proposal=Proposal(
                    genome=genome, origin="random" if repeat_of is None else "repeat", repeat_of=repeat_of
                ),
                fingerprint=target.fingerprint(),
                seed=number,
                cheap={"latency_ms": float(self.rng.uniform(5, 30)), "num_parameters": 1e9},
                description={
                    "target": target.to_dict(),
                    "proxy": target.to_dict(),
                    "latency_by_operator": {"attention": 2.0, "fixed": 1.0},
                },
            )
        )

    def end(self, number: int, perplexity: float = 12.0) -> None:
        details = {"curve": [[4096, 3.0, None]], "tokens_seen": 4096, "bits_per_byte": 1.5, "seconds": 2.0}
        self.study.finish(number, Evaluated(objectives={"perplexity": perplexity}, details=details))


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "run")


@pytest.fixture(params=["journal", "postgresql"])
def place(request, tmp_path):
    return str(tmp_path / "journal") if request.param == "journal" else request.getfixturevalue("database")


def the_only(place):
    (found,) = followed(place)
    return found


def assert_equal_to_a_fresh_reading(live, place):
    found, fresh = live.results(), the_only(place).results()
    assert_frame_equal(found.trials, fresh.trials)
    assert found.comparison == fresh.comparison
    assert (found.knee, found.state) == (fresh.knee, fresh.state)


def test_what_is_followed_equals_what_is_read_afresh_after_every_step(toy, place):
    study = toy.study(open_storage(place))
    live = the_only(place)
    rng = np.random.default_rng(1)
    assert_equal_to_a_fresh_reading(live, place)
    for number in range(18):
        repeat_of = None if number < 6 or number % 5 else int(rng.integers(4))
        candidate = toy.candidate(number, toy.space.sample(rng=rng), repeat_of=repeat_of)
        study.add(candidate)
        assert_equal_to_a_fresh_reading(live, place)
        if number % 7 == 6:
            study.retry(number, Failed("lost_worker", "The node is gone."))
            assert_equal_to_a_fresh_reading(live, place)
        if number % 6 == 5:  # goes on running
            continue
        outcomes = [
            Evaluated(objectives={"error": float(rng.uniform(1, 50))}, details={"curve": [[1, 2.0, None]]}),
            Failed("diverged", "NaN"),
            Stopped(details={"tokens_seen": 5}),
        ]
        study.finish(number, outcomes[0 if repeat_of is not None else rng.choice(3, p=[0.7, 0.2, 0.1])])
        assert_equal_to_a_fresh_reading(live, place)
    for number in (5, 11, 17):  # the order of the ends is not that of the numbers
        study.finish(number, Evaluated(objectives={"error": float(number)}))
        assert_equal_to_a_fresh_reading(live, place)
    study.mark_complete({"evaluations": 18})
    assert_equal_to_a_fresh_reading(live, place)
    assert live.results().planned_evaluations == 18
    study.close()


def test_the_revision_changes_with_every_step_and_only_then(toy, place):
    study = toy.study(open_storage(place))
    live = the_only(place)
    live.results()
    revisions = [repr(live.revision())]

    def note():
        revisions.append(repr(live.revision()))
        assert revisions[-1] == repr(live.revision())

    study.add(toy.candidate(0, (1,) * 6))
    note()
    study.retry(0, Failed("lost_worker", "gone"))
    note()
    study.retry(0, Failed("lost_worker", "gone again"))
    note()
    study.finish(0, Evaluated(objectives={"error": 1.0}))
    note()
    study.mark_complete({"evaluations": 1})
    note()
    study.mark_complete({"evaluations": 2})
    note()
    assert len(set(revisions)) == len(revisions)
    study.close()


def test_a_driver_is_seen_in_a_database_without_disturbing_it(toy, database):
    study = toy.study(open_storage(database))
    live = the_only(database)
    assert live.results().state == "running"
    study.close()
    # A server takes a moment to notice that a driver is gone.
    give_up = time.monotonic() + 20
    while live.results().state == "running" and time.monotonic() < give_up:
        time.sleep(0.05)
    assert live.results().state == "interrupted"
    study = toy.study(open_storage(database))
    study.mark_complete({"evaluations": 0})
    study.close()
    while live.results().state == "running" and time.monotonic() < give_up:
        time.sleep(0.05)
    assert live.results().state == "finished"


def test_many_new_results_at_once_equal_those_read_one_by_one(written):
    written.begin()
    live = LiveRun(written.directory.path)
    live.results()
    for number in range(130):
        written.add(number)
        written.end(number, 10 + float(written.rng.exponential(3)))
    frame = live.results().trials
    assert_frame_equal(frame, LiveRun(written.directory.path).results().trials)
    assert len(frame) == 130


def test_a_run_is_followed_from_before_its_first_candidate(written):
    live = LiveRun(written.directory.path)
    before, revision = live.results(), repr(live.revision())
    assert len(before.trials) == 0
    assert before.state == "interrupted"
    assert before.planned_evaluations == written.config.budget.evaluations
    with written.directory.lock:
        assert live.results().state == "running"
        written.begin()
        written.add(0)
        assert repr(live.revision()) != revision
        assert live.results().trials["status"].tolist() == ["running"]
    written.end(0)
    assert live.results().trials["status"].tolist() == ["finished"]


def test_a_running_trial_says_since_when_and_how_often(written):
    written.begin()
    written.add(0)
    written.study.retry(0, Failed("lost_worker", "gone"))
    (row,) = LiveRun(written.directory.path).results().trials.to_dict("records")
    assert abs(datetime.now(UTC) - row["started_at"]) < timedelta(minutes=5)
    assert row["num_attempts"] == 2
    assert row["status"] == "running"


def test_the_frame_is_the_same_one_while_no_trial_changes(written):
    written.begin()
    written.add(0)
    live = LiveRun(written.directory.path)
    frame = live.results().trials
    (written.directory.path / "verification.json").write_text("{}")
    assert live.results().trials is frame
    written.end(0)
    assert live.results().trials is not frame


def test_a_budget_that_was_raised_is_seen(written):
    written.begin()
    live = LiveRun(written.directory.path)
    revision = (live.results(), repr(live.revision()))[1]
    budget = written.config.budget.model_copy(update={"evaluations": 7777})
    written.directory.config.write_text(written.config.model_copy(update={"budget": budget}).to_yaml())
    assert repr(live.revision()) != revision
    assert live.results().planned_evaluations == 7777


def garbled(journal: Path, number: int, change: Callable[[dict[str, Any]], object], *, attribute: str) -> None:
    """Put something else in the place of what a trial says, as a line that is still JSON."""
    lines = journal.read_text().splitlines()
    trial = -1
    for index, line in enumerate(lines):
        entry = json.loads(line)
        trial += entry["op_code"] == 4
        said = entry.get("user_attrs", entry.get("user_attr", {}))
        if entry.get("trial_id", trial) == number and attribute in said:
            changed = change(json.loads(said[attribute]))
            said[attribute] = changed if isinstance(changed, str) else json.dumps(changed)
            lines[index] = json.dumps(entry, separators=(",", ":"))
    journal.write_text("\n".join(lines) + "\n")


def changed(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content | values


@pytest.mark.parametrize(
    ("attribute", "change"),
    [
        ("result", lambda _: "{"),
        ("result", lambda _: []),
        ("result", lambda _: {"status": "finished"}),
        ("result", lambda _: None),
        ("result", changed(status="odd")),
        ("result", changed(objectives={"perplexity": "low", "latency_ms": 1.0})),
        ("result", changed(objectives={"latency_ms": 1.0})),
        ("result", changed(objectives={"perplexity": float("nan"), "latency_ms": 1.0})),
        ("result", changed(finish_index="last")),
        ("result", changed(finished_at="yesterday")),
        ("result", changed(details=[1, 2])),
        ("candidate", lambda _: "{"),
        ("candidate", lambda _: {}),
        ("candidate", changed(origin="odd")),
        ("candidate", changed(parent="x")),
        ("candidate", changed(cheap={"latency_ms": None})),
        ("candidate", changed(mutation=[1])),
        ("candidate", changed(fingerprint=3)),
        ("result", changed(objectives={"perplexity": 1e305, "latency_ms": 1.0})),
        ("result", changed(objectives={"perplexity": 10**400, "latency_ms": 1.0})),
        ("result", changed(finished_at="2026-11-21T15:30:37")),
        ("result", changed(finish_index=10**30)),
        ("candidate", changed(parent=10**30)),
        ("candidate", changed(mutation="half of a \ud800 pair")),
    ],
)
def test_a_broken_trial_is_a_row_that_says_so_and_hides_nothing(written, attribute, change, caplog):
    written.begin()
    for number in range(3):
        written.add(number)
        written.end(number)
    garbled(written.directory.journal, 1, change, attribute=attribute)
    live = LiveRun(written.directory.path)
    for _ in range(2):
        frame = live.results().trials
    assert frame["status"].tolist() == ["finished", "failed", "finished"]
    assert frame["failure_kind"][1] == "unreadable"
    assert "cannot be read" in frame["failure_message"][1]
    assert caplog.text.count("Trial 1 cannot be read") == 1


def test_commands_refuse_a_run_with_a_broken_trial(written):
    written.begin()
    written.add(0)
    written.end(0)
    garbled(written.directory.journal, 0, lambda _: {}, attribute="candidate")
    with pytest.raises(StudyError, match="Trial 0 of the study 'search' cannot be read"):
        Run(written.directory.path)


@pytest.mark.parametrize(
    ("attribute", "change"),
    [
        ("result", changed(details={"curve": "x", "tokens_seen": 1.5, "seconds": "long", "bits_per_byte": [1]})),
        ("result", changed(details={"tokens_seen": 10**30, "tokens_planned": float("nan")})),
        ("candidate", changed(description=[])),
        ("candidate", changed(description={"latency_by_operator": 3, "target": {"operators": [{"kind": "odd"}]}})),
        ("candidate", changed(cheap={"latency_ms": 3.0, "num_parameters": 0.5})),
        ("candidate", changed(genome={"odd": 1})),
        ("candidate", changed(cheap={"latency_ms": 3.0, "status": 2.0, "number": 7.0, "parent": 0.5})),
        ("result", changed(objectives={"perplexity": 12.0, "latency_ms": 1.0, "status": 2.0, "pattern": 3.0})),
        ("result", changed(details={"seconds": float("inf"), "bits_per_byte": 10**400})),
        ("candidate", changed(description={"latency_by_operator": {"\ud800": 1.0}})),
        ("candidate", changed(description={"target": {"operators": [], "hidden_size": 10**30}})),
    ],
)
def test_what_is_only_shown_may_be_garbled_and_the_trial_stays(written, attribute, change):
    written.begin()
    written.add(0)
    written.end(0)
    garbled(written.directory.journal, 0, change, attribute=attribute)
    frame = LiveRun(written.directory.path).results().trials
    assert frame["status"].tolist() == ["finished"]
    assert frame["perplexity"].tolist() == [12.0]


def test_an_architecture_that_is_garbled_leaves_the_rest_of_its_trial(written):
    written.begin()
    genome = written.space.sample(rng=written.rng)
    for number, description in enumerate(({"target": {"operators": 3}}, {"target": "x"}, {})):
        written.study.add(
            Candidate(
                number=number,
                proposal=Proposal(genome=genome, origin="random"),
                fingerprint=str(number),
                seed=0,
                cheap={"latency_ms": 1.0, "num_parameters": 1.0},
                description=description,
            )
        )
        written.end(number)
    frame = LiveRun(written.directory.path).results().trials
    assert frame["status"].tolist() == ["finished"] * 3
    assert frame["pattern"].isna().all()
    assert frame["perplexity"].tolist() == [12.0] * 3


def test_a_line_that_is_being_written_is_read_once_it_is_whole(written):
    written.begin()
    written.add(0)
    written.end(0)
    journal = written.directory.journal
    content = journal.read_bytes()
    start = content.index(b'"result"')
    journal.write_bytes(content[:start])
    live = LiveRun(written.directory.path)
    assert live.results().trials["status"].tolist() == ["running"]
    with journal.open("ab") as file:
        file.write(content[start:])
    assert live.results().trials["status"].tolist() == ["finished"]


def test_a_journal_whose_end_was_cut_off_is_read_anew(written):
    written.begin()
    for number in range(3):
        written.add(number)
        written.end(number)
    journal, live = written.directory.journal, LiveRun(written.directory.path)
    assert len(live.results().trials) == 3
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if line.startswith(b'{"op_code":4'))
    repaired = journal.with_suffix(".repaired")
    repaired.write_bytes(b"".join(lines[:last]))
    repaired.replace(journal)
    assert len(live.results().trials) == 2
    assert_frame_equal(live.results().trials, LiveRun(written.directory.path).results().trials)


def test_a_journal_that_is_no_longer_one_is_one_clear_message(written):
    written.begin()
    written.add(0)
    live = LiveRun(written.directory.path)
    live.results()
    with written.directory.journal.open("a") as file:
        file.write("no journal\nno journal\n")
    for _ in range(2):
        with pytest.raises(StudyError, match="is not a journal record"):
            live.results()


def test_a_journal_with_other_content_in_the_same_file_is_read_anew(written):
    written.begin()
    for number in range(3):
        written.add(number)
        written.end(number)
    journal, live = written.directory.journal, LiveRun(written.directory.path)
    assert live.results().trials["perplexity"].tolist() == [12.0] * 3
    inode = journal.stat().st_ino
    journal.write_bytes(journal.read_bytes().replace(b"12.0", b"11.0625"))
    assert journal.stat().st_ino == inode
    assert live.results().trials["perplexity"].tolist() == [11.0625] * 3


@pytest.mark.parametrize(
    "record", ['{"op_code":8,"trial_id":[1],"user_attr":{}}', '{"op_code":4}', '{"op_code":8,"trial_id":0}']
)
def test_a_record_of_a_journal_that_lacks_a_part_is_one_clear_message(written, record):
    written.begin()
    written.add(0)
    live = LiveRun(written.directory.path)
    live.results()
    with written.directory.journal.open("a") as file:
        file.write(f"{record}\n{record}\n")
    with pytest.raises(StudyError, match="is not a journal record"):
        live.results()


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [("schema_version", "new", "no schema version that is a number"), ("objectives", 5, "must be a list of names")],
)
def test_a_study_whose_own_attributes_are_garbled_is_one_clear_message(written, attribute, value, words):
    written.begin()
    written.study._storage.set_study_user_attr(written.study._id, f"hybridnas:{attribute}", value)
    with pytest.raises(StudyError, match=words):
        LiveRun(written.directory.path).results()


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "must hold a mapping"), (b"\xff\xfe", "no text in UTF-8"), (b"a: [", "must be YAML")]
)
def test_a_configuration_that_is_none_is_one_clear_message(written, content, words):
    written.directory.config.write_bytes(content)
    with pytest.raises(NasError, match=words):
        LiveRun(written.directory.path)


def test_a_study_of_a_newer_version_is_one_clear_message(written):
    written.begin()
    live = LiveRun(written.directory.path)
    live.results()
    written.study._storage.set_study_user_attr(written.study._id, "hybridnas:schema_version", 99)
    for follower in (live, LiveRun(written.directory.path)):
        with pytest.raises(StudyError, match="schema version 99"):
            follower.results()


def test_a_run_that_vanishes_is_one_clear_message_and_found_again_when_it_is_back(written, tmp_path):
    written.begin()
    written.add(0)
    live = LiveRun(written.directory.path)
    assert len(live.results().trials) == 1
    aside = written.directory.journal.rename(tmp_path / "aside")
    with pytest.raises(NoStudyError, match=r"study of .* is gone"):
        live.results()
    with pytest.raises(NoStudyError, match=r"study of .* is gone"):
        live.results()
    aside.rename(written.directory.journal)
    assert len(live.results().trials) == 1
    shutil.rmtree(written.directory.path)
    for ask in (live.revision, live.results):
        with pytest.raises(RunDirectoryError, match="is gone"):
            ask()


def test_a_database_that_stops_is_one_clear_message_and_followed_again(toy, postgresql):
    url = postgresql.new_database()
    study = toy.study(open_storage(url))
    study.add(toy.candidate(0, (1,) * 6))
    study.close()
    live = the_only(url)
    live.results()
    postgresql.stop("fast")
    try:
        for ask in (live.revision, live.results):
            with pytest.raises(StorageError, match="cannot be used"):
                ask()
    finally:
        postgresql.start()
    assert len(live.results().trials) == 1


def test_following_changes_no_file(written):
    written.begin()
    written.add(0)
    written.end(0)
    before = {path: path.stat().st_mtime_ns for path in written.directory.path.rglob("*")}
    live = LiveRun(written.directory.path)
    live.revision()
    live.results()
    assert {path: path.stat().st_mtime_ns for path in written.directory.path.rglob("*")} == before


def test_the_knee_is_the_one_that_export_takes(written):
    written.begin()
    for number in range(12):
        written.add(number)
        written.end(number, 40 - written.study.running()[0].cheap["latency_ms"])
    results = Run(written.directory.path).results()
    assert results.knee == knee(Run(written.directory.path).study.history()).number
    assert results.trials["is_frontier"].sum() > 1


def test_repeats_of_the_frontier_change_the_row_they_repeat(written):
    written.begin()
    live = LiveRun(written.directory.path)
    written.add(0)
    written.end(0, 10.0)
    assert live.results().trials["perplexity"].tolist() == [10.0]
    written.add(1, repeat_of=0)
    written.end(1, 12.0)
    frame = live.results().trials
    assert frame["perplexity"].tolist() == [11.0, 12.0]
    assert frame["num_evaluations"].tolist() == [2, 1]


def test_every_study_of_a_storage_is_followed_and_others_are_not(toy, tmp_path):
    path = tmp_path / "journal"
    storage = journal_storage(path)
    for name in ("one", "two"):
        Study(space=toy.space, objectives=("error", "cost"), storage=storage, name=name)
    optuna.create_study(storage=storage, study_name="another's")
    assert [live.name for live in followed(str(path))] == ["one", "two"]
    other = tmp_path / "other"
    optuna.create_study(storage=journal_storage(other), study_name="b")
    with pytest.raises(StorageError, match="no study of a search; it holds 'b', of something else"):
        followed(str(other))


@pytest.mark.parametrize("scheme", ["sqlite:///", ""])
def test_an_exported_study_is_shown_with_its_configuration(written, tmp_path, scheme):
    written.begin()
    for number in range(3):
        written.add(number)
        written.end(number)
    place = f"sqlite:///{tmp_path / 'studies.db'}"
    with opened(str(written.directory.journal), to_read=True) as source, opened(place) as target:
        export_study(source, target, source_name="search", name="exported", space=written.space, config=written.config)
    before = (tmp_path / "studies.db").stat().st_mtime_ns
    live = the_only(place if scheme else str(tmp_path / "studies.db"))
    results = live.results()
    assert results.planned_evaluations == written.config.budget.evaluations
    assert_frame_equal(results.trials, Run(written.directory.path).results().trials)
    assert repr(live.revision()) == repr(live.revision())
    assert (tmp_path / "studies.db").stat().st_mtime_ns == before
    (tmp_path / "studies.db").unlink()
    with pytest.raises(StorageError, match="is gone"):
        live.results()


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("nothing", RunDirectoryError, "There is no run directory or storage"),
        ("empty", RunDirectoryError, "has no config.yaml"),
        ("text.txt", StorageError, "holds no study of a search"),
        ("sqlite:///nothing.db", StorageError, "must exist"),
        ("plain.db", StorageError, "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_one_clear_message(tmp_path, monkeypatch, place, error, words):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.txt").write_text("hello\n")
    with closing(sqlite3.connect("plain.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(error, match=words):
        followed(place)


def test_a_missing_driver_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nas.storage.postgresql_reading", None)
    with pytest.raises(StorageError, match=r"pip install 'hybridnas\[postgresql\]'"):
        followed("postgresql://search@127.0.0.1/studies")


def test_names_differ_also_where_titles_do_not():
    assert distinct_names(["a", "b"], ["x/one", "x/two"]) == ["a", "b"]
    assert distinct_names(["one,two", "\x1b[2Jthree"], ["x", "y"]) == ["one two", " [2Jthree"]
    assert distinct_names(["a", "a", "a", ""], ["x/one", "y/one", "y/two", "z"]) == [
        "a (one)",
        "a (one) 2",
        "a (two)",
        "z",
    ]
