import json
import re

import pandas as pd
import pytest
import yaml

from nas.run import Run
from nas.winners.weights import save_model
from operators.model import HybridLM
from search_spaces import Architecture

pytestmark = pytest.mark.slow


def genomes(path):
    history = Run(path).study.history()
    return [(record.number, record.genome, record.objectives) for record in sorted(history, key=lambda r: r.number)]


@pytest.fixture(scope="module")
def finished(nas, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "finished"
    result = nas("search", nas.config, "--run-dir", path)
    return path, result


def test_a_search_prints_the_frontier_and_the_comparison_on_standard_output(finished):
    path, result = finished
    lines = result.stdout.splitlines()
    assert lines[0].split()[:6] == ["trial", "latency", "ms", "measured", "ms", "perplexity"]
    assert "evolved candidates dominate" in result.stdout
    assert str(path / "report.html") in result.stderr
    assert "trained 9/9" in result.stderr


def test_a_run_directory_holds_what_it_promises(finished):
    path, _ = finished
    names = {entry.name for entry in path.iterdir()}
    assert {"config.yaml", "environment.json", "study.journal", "latency.parquet", "trials", "report.html"} <= names
    environment = json.loads((path / "environment.json").read_text())
    assert len(environment["corpus"]["sha256"]) == 64
    assert environment["packages"]["torch"]
    for record in Run(path).study.history():
        folder = path / "trials" / str(record.number)
        assert record.candidate.fingerprint in (folder / "log.txt").read_text()
        assert (folder / "curve.csv").read_text().startswith("tokens,training_loss,validation_loss\n")


def test_the_frontier_is_timed_whole_and_shown_beside_its_predictions(finished, nas, tmp_path):
    path, _ = finished
    run = Run(path)
    frontier = run.study.history().frontier()
    measured_ms = run.measured_ms()
    assert set(measured_ms) == {record.candidate.fingerprint for record in frontier}
    assert all(0.2 < measured_ms[r.candidate.fingerprint] / r.objectives["latency_ms"] < 5 for r in frontier)
    shown = json.loads(nas("show", path, frontier[0].number, "--json").stdout)
    assert shown["measured_latency_ms"] == measured_ms[frontier[0].candidate.fingerprint]
    assert "Measured ms" in (path / "report.html").read_text()
    nas("export", path, "--trial", frontier[0].number, "--format", "spec", "-o", tmp_path / "spec.yaml")
    spec = yaml.safe_load((tmp_path / "spec.yaml").read_text())
    assert spec["provenance"]["measured_latency_ms"] == shown["measured_latency_ms"]


def test_verifying_again_times_only_what_was_not_timed(finished, nas):
    path, _ = finished
    file = path / "verification.json"
    before = json.loads(file.read_text())
    gone = next(iter(before))
    file.write_text(json.dumps({name: entry for name, entry in before.items() if name != gone}))
    assert nas("latency", "verify", path).stdout.startswith("trial")
    after = json.loads(file.read_text())
    assert set(after) == set(before)
    assert all(after[name] == before[name] for name in before if name != gone)


def test_a_table_measured_here_was_checked_before_the_first_candidate(finished, nas):
    path, _ = finished
    [listed] = json.loads(nas("latency", "list", path / "latency.parquet", "--json").stdout)
    what = r"MAPE \d+\.\d % over \d+ models, prefill 32 \+ decode 8, batch 1, float32 \(\d{4}-\d\d-\d\d\)"
    assert re.fullmatch(what, listed["validated"])
    assert "never checked" not in (path / "report.html").read_text()


def test_every_trial_has_a_trained_perplexity_and_a_priced_latency(finished):
    path, _ = finished
    run = Run(path)
    history = run.study.history()
    assert len(history) == 9
    for record in history:
        target = Architecture.from_dict(record.candidate.description["target"])
        proxy = Architecture.from_dict(record.candidate.description["proxy"])
        assert (target.vocab_size, proxy.vocab_size) == (300, 257)
        assert 1 < record.objectives["perplexity"] < 400
        assert record.objectives["latency_ms"] == pytest.approx(
            sum(record.candidate.description["latency_by_operator"].values())
        )
        assert record.details["tokens_seen"] == 12 * 2 * 32
    assert run.state == "finished"


def test_the_same_seed_table_and_executor_propose_and_score_the_same(nas, finished, tmp_path):
    nas("search", nas.config, "--run-dir", tmp_path / "again")
    assert genomes(tmp_path / "again") == genomes(finished[0])


def test_aging_keeps_every_candidate_within_the_budget(nas, finished, tmp_path):
    median = sorted(objectives["latency_ms"] for _, _, objectives in genomes(finished[0]))[4]
    settings = ["strategy.name=aging", f"constraints.latency_ms={median}", "strategy.offspring_per_cycle=2"]
    nas("search", nas.config, "--run-dir", tmp_path / "aging", *(x for s in settings for x in ("--set", s)))
    assert all(objectives["latency_ms"] <= median for _, _, objectives in genomes(tmp_path / "aging"))


def test_the_whole_study_and_every_frontier_model_leave_with_what_is_known_of_them(nas, finished, tmp_path):
    path, _ = finished
    trials = Run(path).results().trials
    nas("export", path, "--format", "csv", "-o", tmp_path / "trials.csv")
    nas("export", path, "--format", "parquet", "-o", tmp_path / "trials.parquet")
    for read in (pd.read_csv(tmp_path / "trials.csv"), pd.read_parquet(tmp_path / "trials.parquet")):
        assert list(read.columns) == list(trials.columns)
        assert read["fingerprint"].tolist() == trials["fingerprint"].tolist()
    nas("export", path, "--format", "csv", "--trial", "best", "-o", tmp_path / "best.csv", expect=2)

    models = ["export", path, "--trial", "frontier", "--format", "hf", "-o", tmp_path / "models", "--no-check"]
    assert "--random-weights" in nas(*models, expect=2).stderr
    assert not (tmp_path / "models").exists()
    nas(*models, "--random-weights")
    frontier = Run(path).study.history().frontier()
    table = pd.read_csv(tmp_path / "models" / "frontier.csv")
    assert table["trial"].tolist() == [record.number for record in frontier]
    assert table["measured_latency_ms"].notna().all()
    words = (tmp_path / "models" / "README.md").read_text()
    for record in frontier:
        folder = tmp_path / "models" / f"trial-{record.number}"
        assert (folder / "model.safetensors").is_file()
        assert 'class="this"' in (folder / "frontier.svg").read_text()
        content = json.loads((folder / "hybridnas.json").read_text())
        assert Architecture.from_dict(content["architecture"]).fingerprint() == record.candidate.fingerprint
        assert content["provenance"]["scores"] == record.objectives
        assert content["provenance"]["latency_table"]["rows"] == len(Run(path).table())
        assert f"transformers serve trial-{record.number}" in words


def test_a_trained_trial_leaves_with_what_its_search_knew(nas, finished, tmp_path):
    path, _ = finished
    record = Run(path).study.history().frontier()[0]
    architecture = Architecture.from_dict(record.candidate.description["target"])
    origin = {"search": "small", "trial": record.number, "fingerprint": record.candidate.fingerprint}
    for name, described in (("mine", origin), ("other", {**origin, "fingerprint": "0" * 16})):
        (tmp_path / name).mkdir()
        provenance = {"origin": "training", "architecture_from": described, "validation_loss": 1.25}
        save_model(tmp_path / name, HybridLM(architecture, seed=1), tokenizer=None, provenance=provenance)
    command = ["--search", path, "--format", "hf", "--no-check", "-o", tmp_path / "out"]
    assert "did not find this architecture" in nas("export", tmp_path / "other", *command, expect=2).stderr
    nas("export", tmp_path / "mine", *command)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Latency measured on the whole model (ms)" in card
    assert "| Validation loss of the training (nats a token) | 1.25 |" in card
    assert "Untrained" not in card
    assert 'class="this"' in (tmp_path / "out" / "frontier.svg").read_text()


def test_status_pareto_show_export_and_report_agree(nas, finished, tmp_path):
    path, _ = finished
    status = json.loads(nas("status", path, "--json").stdout)
    frontier = json.loads(nas("pareto", path, "--json").stdout)
    assert status["state"] == "finished"
    assert status["evaluations"] == {"ended": 8, "planned": 8}
    assert status["frontier"] == [row["trial"] for row in frontier]
    assert "8 of 8 ended" in nas("status", path).stdout
    assert len(nas("pareto", path, "--csv").stdout.splitlines()) == len(frontier) + 1

    best = json.loads(nas("show", path, "best", "--json").stdout)
    assert best["trial"] == status["best"]["trial"]
    assert best["fingerprint"] in nas("show", path, "best").stdout

    nas("export", path, "--trial", "frontier", "-o", tmp_path / "winners")
    assert len(list((tmp_path / "winners").glob("trial-*.yaml"))) == len(frontier)
    nas("export", path, "--trial", "frontier", "-o", tmp_path / "winners", expect=5)
    spec = tmp_path / "winners" / f"trial-{best['trial']}.yaml"
    exported = Architecture.from_dict(yaml.safe_load(spec.read_text())["architecture"])
    assert exported.fingerprint() == best["fingerprint"]
    arguments = ["--phase", "both", "--prompt-tokens", 32, "--generated-tokens", 8, "--json"]
    predicted = json.loads(nas("latency", "predict", spec, "--table", path / "latency.parquet", *arguments).stdout)
    assert predicted["milliseconds"] == pytest.approx(best["objectives"]["latency_ms"])

    nas("report", path, "-o", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().lower().startswith("<!doctype html>")


def test_a_search_of_which_nothing_finishes_fails_and_still_leaves_its_report(nas, tmp_path):
    path = tmp_path / "run"
    result = nas("search", nas.config, "--run-dir", path, "--set", "proxy.training.learning_rate=1e9", expect=1)
    assert "error: None of 8 candidates finished; the last one: failed, diverged: Diverged in step" in result.stderr
    assert (path / "report.html").exists()
    status = json.loads(nas("status", path, "--json").stdout)
    assert (status["state"], status["failures"], status["best"]) == ("finished", {"diverged": 8}, None)
    assert "no trial has finished" in nas("show", path, "best", expect=2).stderr
    nas("export", path, "--format", "csv", "-o", tmp_path / "trials.csv")
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 9


def test_resuming_with_a_larger_budget_goes_on_from_where_it_was(nas, tmp_path):
    nas(
        "search",
        nas.config,
        "--run-dir",
        tmp_path / "run",
        "--set",
        "budget.evaluations=5",
        "--set",
        "budget.repeats=0",
    )
    before = genomes(tmp_path / "run")
    nas("resume", tmp_path / "run", "--set", "budget.evaluations=7")
    assert genomes(tmp_path / "run")[:5] == before
    assert len(genomes(tmp_path / "run")) == 7
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["budget"]["evaluations"] == 7


def test_searching_with_resume_starts_or_continues(nas, tmp_path):
    command = ["search", nas.config, "--run-dir", tmp_path / "run", "--resume", "--set", "budget.evaluations=3"]
    nas(*command, "--set", "budget.repeats=0")
    assert "3 already done" in nas(*command, "--set", "budget.repeats=1").stderr
    assert len(genomes(tmp_path / "run")) == 4


def test_a_ray_search_finishes_and_leaves_the_same_kind_of_run(nas, tmp_path):
    nas("search", nas.config, "--run-dir", tmp_path / "run", "--executor", "ray", "--set", "resources.max_parallel=2")
    run = Run(tmp_path / "run")
    assert run.state == "finished"
    assert len(run.study.history().finished()) == 8
    assert len({record.candidate.fingerprint for record in run.study.history().finished()}) == 8


def test_a_run_no_longer_needs_the_table_it_was_given(nas, table, tmp_path):
    copy = tmp_path / "given.parquet"
    copy.write_bytes(table.read_bytes())
    smaller = ["--set", "budget.evaluations=2", "--set", "budget.repeats=0", "--set", f"latency.table={copy}"]
    nas("search", nas.config, "--run-dir", tmp_path / "run", *smaller)
    copy.unlink()
    log = tmp_path / "run" / "trials" / "1" / "log.txt"
    before = log.read_text()
    log.unlink()
    (log.parent / "curve.csv").unlink()
    log.parent.rmdir()
    nas("resume", tmp_path / "run", "--set", "budget.evaluations=3")
    assert len(genomes(tmp_path / "run")) == 3
    assert log.read_text() == before
