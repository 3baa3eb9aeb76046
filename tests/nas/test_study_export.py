"""What leaves for another storage comes back exactly, and optuna-dashboard's own server shows it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import optuna
import pytest

from benchmarks.chromium import open_chromium
from nas.candidates import Candidate, Evaluated, Failed, Proposal, Stopped
from nas.config import load_config
from nas.errors import NoStudyError, RunDirectoryError, StorageError, StudyInUseError
from nas.run import Run
from nas.run_import import import_run
from nas.storage.open import journal_storage
from nas.study import Study
from nas.study_export import export_study, import_study, list_studies, opened
from proxies.rungs import Rungs

BOUND_MS = 20.0


@pytest.fixture
def config():
    return load_config("quick-cpu", overrides=(f"constraints.latency_ms={BOUND_MS}",)).resolved()


def write_run(config, path, *, num_trials=12):
    """A run of language models whose results are made up: failures, repeats, and two trials that go on."""
    path.mkdir()
    (path / "config.yaml").write_text(config.to_yaml())
    (path / "environment.json").write_text("{}\n")
    space = config.load_space()
    study = Study(space=space, objectives=config.objectives, storage=journal_storage(path / "study.journal"))
    rng = np.random.default_rng(0)
    for number in range(num_trials):
        genome = space.sample(rng=rng)
        target = space.decode(genome)
        is_repeat = number == 5
        candidate = Candidate(
            number=number,
            proposal=Proposal(
                genome=genome,
                origin="repeat" if is_repeat else "mutation",
                parent=number - 1 if number else None,
                mutation="depth: 3 → 4",
                repeat_of=2 if is_repeat else None,
                sampling={"of_frontier": True} if is_repeat else {},
            ),
            fingerprint=target.fingerprint(),
            seed=0,
            cheap={"latency_ms": float(rng.uniform(5, 30)), "num_parameters": 1e6 + number},
            description={"target": target.to_dict(), "proxy": target.to_dict(), "latency_by_operator": {"a": 1.5}},
            rungs=Rungs(shares=(0.1,), limits=(3.2,)) if number == 9 else None,
        )
        study.add(candidate)
    study.retry(3, Failed("lost_worker", "The node is gone."))
    for number in reversed(range(num_trials - 2)):
        failed = number % 7 == 4
        outcome = (
            Failed("gpu_out_of_memory", "20 GiB wanted")
            if failed
            else Evaluated(objectives={"perplexity": float(rng.uniform(3, 9))}, details={"curve": [[1, 2.0, None]]})
        )
        expected = None
        if number == 9:
            outcome, expected = Stopped(details={"rung_losses": [3.5]}), 21.0
        study.finish(number, outcome, constraints=config.bounds, penalised=("gpu_out_of_memory",), expected=expected)
    study.mark_complete(config.budget.model_dump())
    return Run(path)


def exported(run, where, name="mine"):
    with opened(str(run.where), to_read=True) as source, opened(where) as target:
        return export_study(
            source,
            target,
            source_name="search",
            name=name,
            space=run.space,
            config=run.config,
            environment=run.directory.environment.read_text(),
        )


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def where(request, tmp_path):
    match request.param:
        case "journal":
            return str(tmp_path / "export.journal")
        case "sqlite":
            return f"sqlite:///{tmp_path / 'export.db'}"
        case _:
            return request.getfixturevalue("database")


def test_a_run_comes_back_as_it_left(config, tmp_path, where):
    run = write_run(config, tmp_path / "run")
    assert exported(run, where) == 12
    with opened(where, to_read=True) as source:
        assert import_run(source, name="mine", path=tmp_path / "back") == 12
    back = Run(tmp_path / "back")
    assert list(back.study.history()) == list(run.study.history())
    assert back.study.running() == run.study.running()
    assert [record.number for record in back.study.history()] == list(reversed(range(10)))
    assert back.state == "finished"
    assert back.config == run.config
    assert back.directory.environment.read_text() == run.directory.environment.read_text()


def test_an_export_is_a_study_to_optuna(config, tmp_path, where):
    run = write_run(config, tmp_path / "run")
    exported(run, where)
    with opened(where, to_read=True) as storage:
        study = optuna.load_study(study_name="mine", storage=storage)
        trials = study.get_trials()
        assert study.metric_names == ["perplexity", "latency_ms"]
        assert [trial.state.name for trial in trials[-2:]] == ["RUNNING", "RUNNING"]
        for record in run.study.history():
            trial = trials[record.number]
            assert trial.user_attrs["fingerprint"] == record.candidate.fingerprint
            assert trial.user_attrs["pattern"]
            assert {"hidden_size", "depth"} <= set(trial.params)
            assert trial.params.keys() == trials[0].params.keys()
            assert trial.datetime_complete >= trial.datetime_start
            above = record.objectives["latency_ms"] - BOUND_MS
            assert trial.constraints == {"latency_ms": pytest.approx(above)}
            if record.status == "stopped":
                assert trial.state.name == "PRUNED"
            elif record.failure is None:
                assert trial.values == [record.objectives["perplexity"], record.objectives["latency_ms"]]
            else:
                assert trial.state.name == "FAIL"
                assert trial.user_attrs["failure"] == "gpu_out_of_memory: 20 GiB wanted"
        listed = list_studies(storage)
    assert [(one.name, one.num_trials, one.is_ours) for one in listed] == [("mine", 12, True)]


def test_an_export_goes_on_in_another_storage(config, tmp_path):
    run = write_run(config, tmp_path / "run")
    exported(run, str(tmp_path / "a.journal"))
    with opened(str(tmp_path / "a.journal"), to_read=True) as source, opened(str(tmp_path / "b.journal")) as target:
        import_study(source, target, source_name="mine", name="mine")
    study = Study(
        space=run.space, objectives=config.objectives, storage=journal_storage(tmp_path / "b.journal"), name="mine"
    )
    assert list(study.history()) == list(run.study.history())
    study.finish(10, Evaluated(objectives={"perplexity": 1.0}))
    assert len(study.history()) == 11


def test_a_name_that_is_taken_and_one_that_is_not_there_are_refused(config, tmp_path):
    run = write_run(config, tmp_path / "run", num_trials=6)
    file = str(tmp_path / "export.journal")
    exported(run, file)
    with pytest.raises(StudyInUseError, match="has 'mine'"):
        exported(run, file)
    with opened(file, to_read=True) as source:
        with pytest.raises(NoStudyError, match="holds 'mine'; got 'yours'"):
            import_run(source, name="yours", path=tmp_path / "back")
        with pytest.raises(RunDirectoryError, match="must be new or empty"):
            import_run(source, name="mine", path=tmp_path / "run")
    with pytest.raises(StorageError, match="there is no file"), opened(str(tmp_path / "none.db"), to_read=True):
        pass


def test_a_study_of_another_tool_does_not_come_back(tmp_path):
    file = str(tmp_path / "other.journal")
    with opened(file) as storage:
        optuna.create_study(study_name="other", storage=storage)
        with pytest.raises(NoStudyError, match="'other' is another's"):
            import_study(storage, storage, source_name="other", name="copy")


def test_no_password_leaves_with_a_study(config, tmp_path):
    run = write_run(config, tmp_path / "run", num_trials=6)
    study = replace_study(config, storage="postgresql://me:secret@host/runs")
    with opened(str(run.where), to_read=True) as source, opened(str(tmp_path / "out.journal")) as target:
        export_study(source, target, source_name="search", name="mine", space=run.space, config=study)
    assert "secret" not in (tmp_path / "out.journal").read_text()


def replace_study(config, *, storage):
    return config.model_copy(update={"study": config.study.model_copy(update={"storage": storage})})


def fetched(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.status, json.loads(answer.read())


@pytest.mark.slow
def test_the_dashboard_of_optuna_shows_a_thousand_trials(config, tmp_path):
    run = write_run(config, tmp_path / "run", num_trials=1000)
    file = str(tmp_path / "export.journal")
    exported(run, file)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"
    server = subprocess.Popen(
        [sys.executable, "-c", program, file, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                status, studies = fetched(f"{address}/api/studies")
                break
            except OSError:
                time.sleep(0.1)
        assert status == 200
        (summary,) = studies["study_summaries"]
        assert summary["study_name"] == "mine"
        status, study = fetched(f"{address}/api/studies/{summary['study_id']}?after=0")
        assert status == 200
        assert len(study["trials"]) == 1000
        assert study["objective_names"] == ["perplexity", "latency_ms"]
        look(f"{address}/dashboard/studies/{summary['study_id']}")
    finally:
        server.terminate()
        server.wait()


def look(address):
    """Open the page in a browser and find nothing wrong with it."""
    if os.environ.get("HYBRIDNAS_WITHOUT_BROWSER"):
        return
    troubles = []
    with open_chromium() as browser:
        page = browser.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(address)
        page.wait_for_selector("text=Pareto Front", timeout=60_000)
        assert "mine" in page.content()
    assert troubles == []
