"""A real grid of depths and widths, made small: real text, real training, killed in the middle and continued."""

import json
import time
from pathlib import Path

import pytest
import yaml

from nas.run import Run
from nas.run_directory import RunDirectory

pytestmark = pytest.mark.slow

SPACE = {
    "schema_version": 1,
    "space": "depth_width",
    "block": "a f",
    "depths": [1, 2, 3],
    "hidden_sizes": [16, 32, 48],
    "vocab_size": 300,
    "dimensions": {"head_dim": 16, "rope_theta": 10000.0},
}


def write_config(nas, path, **changes):
    content = yaml.safe_load(Path(nas.config).read_text())
    latency = {"workload": {"phase": "decode", "generated_tokens": 2}, "validation_models": 2}
    proxy = content["proxy"] | {"training": content["proxy"]["training"] | {"steps": 30}}
    changed = {"name": "grid", "space": SPACE, "latency": latency, "proxy": proxy, "strategy": {"name": "grid"}}
    path.write_text(yaml.safe_dump(content | changed | {"budget": {"evaluations": 1}} | changes))
    return path


@pytest.fixture(scope="module")
def nas(nas_without_table):
    return nas_without_table


@pytest.fixture(scope="module")
def fitted(nas, tmp_path_factory):
    """A grid whose training was killed with kill -9 after three settings, then continued and fitted."""
    folder = tmp_path_factory.mktemp("scaling")
    config = write_config(nas, folder / "grid.yaml")
    run = folder / "run"
    process = nas.popen("scaling", "fit", config, "--run-dir", run)
    deadline = time.monotonic() + 120
    journal = RunDirectory(run).journal
    while not journal.exists() or journal.read_bytes().count(b'"result"') < 3:
        assert time.monotonic() < deadline, "no results came"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = {record.number: record.objectives for record in Run(run).study.history()}
    result = nas("scaling", "fit", run, "--hold-out", 0.2, "--json")
    return run, before, result


def test_a_killed_grid_is_continued_and_trains_every_setting_once(fitted):
    run, before, _ = fitted
    assert 3 <= len(before) < 9
    history = Run(run).study.history()
    assert before.items() <= {record.number: record.objectives for record in history}.items()
    settings = [(record.genome.num_blocks, record.genome.hidden_size) for record in history]
    assert sorted(settings) == [(depth, width) for depth in (1, 2, 3) for width in (16, 32, 48)]
    assert Run(run).state == "finished"


def test_the_law_its_intervals_and_its_test_are_printed_and_kept(fitted):
    run, _, result = fitted
    printed = json.loads(result.stdout)
    assert printed == json.loads((run / "scaling.json").read_text())
    assert len(printed["points"]) == 9
    assert sum(point["held_out"] for point in printed["points"]) == len(printed["held_out"]["points"]) == 2
    for point in printed["points"]:
        assert point["perplexity"] > 1
        assert point["latency_ms"] > 0
        assert point["residual"] == pytest.approx(point["predicted"] / point["perplexity"] - 1)
    law, intervals = printed["fitted"]["law"], printed["fitted"]["intervals"]
    assert set(intervals) == {"l0", "a", "alpha", "b", "beta"} <= set(law)
    assert len(printed["fitted"]["draws"]) == 200


def test_the_picture_works_offline(fitted):
    run, _, result = fitted
    page = (run / "scaling.html").read_text()
    assert "default-src 'none'" in page
    assert "Perplexity against latency" in page
    assert str(run / "scaling.html") in result.stderr


def test_a_setting_within_each_budget_is_recommended(fitted, nas):
    run, _, _ = fitted
    times = sorted(point["latency_ms"] for point in json.loads((run / "scaling.json").read_text())["points"])
    result = nas("scaling", "recommend", run, "--budget-ms", times[0], "--budget-ms", times[-1], "--json")
    tight, loose = json.loads(result.stdout)["recommendations"]
    assert (tight["depth"], tight["latency_ms"]) == (1, pytest.approx(times[0]))
    assert loose["latency_ms"] <= times[-1]
    assert loose["perplexity"] <= tight["perplexity"]
    assert tight["beyond"] == ""
    words = nas("scaling", "recommend", run, "--budgets", f"{times[0]}:{times[-1]}:4").stdout
    assert len(words.splitlines()) == 6
    assert "90 % interval" in words
    assert "No setting takes at most" in nas("scaling", "recommend", run, "--budget-ms", 1e-6, expect=2).stderr


def test_a_width_that_is_not_priced_is_left_out_until_it_is_measured(fitted, nas):
    run, _, _ = fitted
    asked = ["scaling", "recommend", run, "--budget-ms", 1e6, "--widths", "32,64", "--depths", "2:5"]
    result = nas(*asked)
    assert "4 of 8 settings were left out: the table does not price the widths 64" in result.stderr
    assert f"nas scaling fit {run} --recommend-widths 64" in result.stderr
    assert "nas latency profile" in result.stderr
    assert "depth 1.7× the greatest trained" in result.stdout
    again = nas("scaling", "fit", run, "--recommend-widths", 64)
    assert "rows measured for 1 widths" in again.stderr
    found = json.loads(nas(*asked, "--json").stdout)
    assert (found["num_left_out"], found["num_priced"]) == (0, 8)
    assert found["recommendations"][0]["width"] == 64


def test_a_search_over_operators_too_gives_a_law_with_a_warning(fitted, nas, tmp_path):
    run, _, _ = fitted
    space = SPACE | {"space": "layerwise", "letters": ["a", "f"], "min_operators": 1, "max_operators": 5}
    space = {name: value for name, value in space.items() if name not in ("block", "depths")}
    config = write_config(nas, tmp_path / "layers.yaml", space=space, strategy={"name": "random"})
    given = (f"latency.table={run / 'latency.parquet'}", "budget.evaluations=12", "proxy.training.steps=6")
    nas("search", config, "--run-dir", tmp_path / "run", *(x for setting in given for x in ("--set", setting)))
    result = nas("scaling", "fit", tmp_path / "run")
    assert "differ in their operators too" in result.stderr
    refused = nas("scaling", "recommend", tmp_path / "run", "--budget-ms", 10, expect=2)
    assert "its operators differ" in refused.stderr


def test_a_grid_that_gives_no_law_is_refused_before_anything_is_written(nas, tmp_path):
    config = write_config(nas, tmp_path / "grid.yaml")
    result = nas("scaling", "fit", config, "--run-dir", tmp_path / "run", "--depths", "1,2", expect=3)
    assert "at least 3 depths; got 1, 2" in result.stderr
    assert not (tmp_path / "run").exists()
