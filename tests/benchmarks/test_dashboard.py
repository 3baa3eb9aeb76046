from benchmarks.all import BENCHMARKS
from benchmarks.dashboard import MOST_LIVE_MS, append_result, claims
from benchmarks.large_run import write_large_run
from nas.results.live import LiveRun

TIMES = {
    name: [1.0, 2.0, 300.0] for name in ("first picture", "filter", "selection", "brush", "table filter", "live update")
}


def test_claims_are_about_the_median_and_each_can_fail():
    assert all(claim.holds for claim in claims(TIMES, memory_gb=0.5, report_mb=5.0))
    slow = TIMES | {"live update": [1.0, MOST_LIVE_MS + 1, 1000.0]}
    failing = [claim.claim for claim in claims(slow, memory_gb=1.5, report_mb=9.0) if not claim.holds]
    assert [words.split(" of ")[0] for words in failing] == ["live update", "peak resident memory", "report, MB"]


def test_an_appended_result_is_one_more_trial_of_the_run(tmp_path):
    write_large_run(tmp_path / "run", num_trials=50)
    live = LiveRun(tmp_path / "run")
    before, revision = live.results(), live.revision()
    append_result(tmp_path / "run", number=50)
    assert live.revision() != revision
    after = live.results()
    assert len(after.trials) == len(before.trials) + 1
    assert after.trials.iloc[-1]["status"] == "finished"


def test_every_lineage_of_a_large_run_ends_at_its_first_trial(tmp_path):
    write_large_run(tmp_path / "run", num_trials=50)
    trials = LiveRun(tmp_path / "run").results().trials
    assert (trials["parent"].iloc[1:] < trials["number"].iloc[1:]).all()


def test_it_runs_with_the_others():
    assert "dashboard" in BENCHMARKS["cpu"]
