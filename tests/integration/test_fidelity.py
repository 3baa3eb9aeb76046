"""A real run whose candidates are really trained longer: killed in the middle, continued, judged and drawn."""

import json
import shutil
import time
from collections import Counter

import pytest

from nas.run import Run

pytestmark = pytest.mark.slow

ASKED = ("--candidates", 6, "--times", "0.5,3", "--seeds", 2)


def trained(path):
    """How often the result of each training was written, and which trainings there are."""
    lines = (path / "fidelity" / "study.journal").read_text().splitlines()
    attributes = [(record["trial_id"], record.get("user_attr", {})) for record in map(json.loads, lines)
                  if "trial_id" in record]  # fmt: skip
    return Counter(number for number, attribute in attributes if "result" in attribute)


@pytest.fixture(scope="module")
def nas(nas_without_table):
    return nas_without_table


@pytest.fixture(scope="module")
def searched(nas, tmp_path_factory):
    path = tmp_path_factory.mktemp("fidelity") / "run"
    workload = "latency.workload={phase: decode, generated_tokens: 2}"
    settings = (workload, "latency.validation_models=2", "budget.evaluations=10")
    nas("search", nas.config, "--run-dir", path, *(x for setting in settings for x in ("--set", setting)))
    return path


@pytest.fixture(scope="module")
def judged(nas, searched):
    """The command killed with kill -9 after three trainings, then called again."""
    process = nas.popen("proxy", "fidelity", searched, *ASKED)
    journal = searched / "fidelity" / "study.journal"
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b'"result"') < 8:
        assert time.monotonic() < deadline, "no results came"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = trained(searched)
    result = nas("proxy", "fidelity", searched, "--json")
    return searched, before, result


def test_killed_and_called_again_it_trains_the_rest_and_nothing_twice(judged, nas):
    path, before, _ = judged
    after = trained(path)
    # One score without training, and two lengths under two seeds, of six candidates.
    assert 8 <= len(before) < len(after) == 6 * (1 + 2 * 2)
    assert set(after.values()) == {1}
    nas("proxy", "fidelity", path)
    assert trained(path) == after


def test_what_was_found_is_printed_and_kept(judged):
    path, _, result = judged
    printed = json.loads(result.stdout)
    assert printed == json.loads((path / "fidelity.json").read_text())
    assert len(printed["rows"]) == 6
    finished = {record.number: record for record in Run(path).study.history().finished()}
    for row in printed["rows"]:
        assert row["perplexity"] == finished[row["trial"]].objectives["perplexity"]
        assert sorted((one["times"], one["seed"]) for one in row["trained"]) == [
            (times, 1003 + place) for times in (0.5, 3.0) for place in (0, 1)
        ]
        assert set(row["scores"]) >= {"num_parameters", "flops_per_token", "snip"}
    (comparison,) = printed["comparisons"]
    assert comparison["times"] == 3
    assert set(comparison["scores"]) >= {"perplexity", "projection", "trained 0.5×", "depth", "gradient_norm"}
    assert printed["projection"]["num_long_trainings"] == 6
    assert [noise["times"] for noise in printed["noise"]] == [0.5, 3.0]
    assert all(noise["deviation"] > 0 for noise in printed["noise"])


def test_longer_training_is_longer(judged):
    path, _, _ = judged
    rows = json.loads((path / "fidelity.json").read_text())["rows"]
    for row in rows:
        lengths = {
            times: [one["perplexity"] for one in row["trained"] if one["times"] == times] for times in (0.5, 3.0)
        }
        assert max(lengths[3.0]) < row["perplexity"]
        assert max(lengths[3.0]) < min(lengths[0.5])


def test_the_run_itself_is_not_touched(judged):
    path, _, _ = judged
    run = Run(path)
    assert run.state == "finished"
    assert sum(not record.is_repeat for record in run.study.history()) == 10


def test_the_report_holds_the_picture(judged):
    path, _, _ = judged
    page = (path / "report.html").read_text()
    assert "How far short training can be trusted" in page
    assert "graph-scores" in page


def test_candidates_are_scored_by_what_was_learnt_and_without_by_the_prior(judged, nas, tmp_path):
    path, _, _ = judged
    ranking = json.loads(nas("proxy", "score", path, "--json").stdout)
    assert "learnt from 6 of its candidates trained 3 times as long" in ranking["why"]
    assert [one["projected_rank"] for one in ranking["candidates"]] == list(range(1, 11))
    assert sorted(one["rank"] for one in ranking["candidates"]) == list(range(1, 11))
    frontier = {record.number for record in Run(path).study.history().frontier()}
    projected = {one["trial"] for one in ranking["candidates"] if one["is_projected_frontier"]}
    assert set(ranking["joining"]) == projected - frontier
    assert set(ranking["leaving"]) == frontier - projected
    copy = tmp_path / "run"
    shutil.copytree(path, copy, ignore=lambda *_: ["fidelity.json"])
    words = nas("proxy", "score", copy).stdout
    assert "Projection: the prior" in words
    assert f"nas proxy fidelity {copy}" in words


def test_a_longer_list_of_lengths_trains_only_what_is_new(judged, nas, tmp_path):
    path, _, _ = judged
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    nas("proxy", "fidelity", copy, "--times", "0.5,2,3", "--seeds", 1)
    assert len(trained(copy)) == 6 * (1 + 2 * 2) + 6
    assert [one["times"] for one in json.loads((copy / "fidelity.json").read_text())["comparisons"]] == [3, 2]


def test_what_cannot_be_asked_is_refused_in_words(judged, nas):
    path, _, _ = judged
    assert "takes numbers as" in nas("proxy", "fidelity", path, "--times", "soon", expect=2).stderr
    refused = nas("proxy", "fidelity", path, "--set", "proxy.training.steps=3", expect=3)
    assert "may change" in refused.stderr
