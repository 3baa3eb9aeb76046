"""`nas dashboard` beside a search that runs: a real browser sees candidates arrive."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest
import yaml
from playwright.sync_api import expect

from benchmarks.chromium import open_chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(os.environ.get("HYBRIDNAS_WITHOUT_BROWSER")), reason="HYBRIDNAS_WITHOUT_BROWSER is set"),
]

TIMEOUT_MS = 60_000
NUM_EVALUATIONS = 16


@pytest.fixture
def page():
    with open_chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        complaints = []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith("http://127.0.0.1:") else complaints.append(request.url),
        )
        yield page
        assert not complaints


@pytest.fixture
def serve():
    processes = []

    def start(*places):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "nas.cli.main", "dashboard", *map(str, places), "--port", str(port)]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        give_up = time.monotonic() + TIMEOUT_MS / 1000
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return f"http://127.0.0.1:{port}/"
            except OSError:
                assert processes[-1].poll() is None, "nas dashboard ended"
                assert time.monotonic() < give_up, "nas dashboard does not answer"
                time.sleep(0.1)

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=30)


def num_evaluated(page):
    found = re.search(rf"(\d+) of {NUM_EVALUATIONS}", page.locator("header .facts").inner_text())
    return int(found[1]) if found else 0


def test_candidates_arrive_while_the_search_runs_and_a_run_that_vanishes_comes_back(nas, page, serve, tmp_path):
    content = yaml.safe_load(nas.config.read_text())
    content["budget"] = {"evaluations": NUM_EVALUATIONS, "repeats": 0}
    content["proxy"]["training"]["steps"] = 60
    config = tmp_path / "search.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    run = tmp_path / "run"
    with nas.popen("search", config, "--run-dir", run) as search:
        while not (run / "config.yaml").is_file():
            assert search.poll() is None, search.communicate()
            time.sleep(0.05)
        page.goto(serve(run))
        seen = set()
        while search.poll() is None:
            if page.locator("header .facts").count():
                seen.add(num_evaluated(page))
            page.wait_for_timeout(200)
        _, err = search.communicate()
    assert search.returncode == 0, err
    assert len(seen) > 1, f"the page showed {seen} while the search ran"
    expect(page.locator("header .facts")).to_contain_text(f"{NUM_EVALUATIONS} of {NUM_EVALUATIONS}")
    expect(page.locator("header")).to_contain_text("finished")
    page.wait_for_function("document.getElementById('graph-pareto').calcdata?.length > 0")
    run.rename(tmp_path / "elsewhere")
    alarm = page.locator("[data-slot=alarms] [role=alert]")
    expect(alarm).to_contain_text("cannot be read")
    expect(page.locator("header .facts")).to_contain_text(f"{NUM_EVALUATIONS} of {NUM_EVALUATIONS}")
    (tmp_path / "elsewhere").rename(run)
    expect(alarm).to_have_count(0)
