"""A real browser that looks at dashboards on this machine, and complains of what no page may do."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from benchmarks.chromium import open_chromium
from dashboards.app import create_app
from dashboards.frame import Results
from dashboards.serving.studies import Study

INTERVAL_MS = 150
TIMEOUT_MS = 20_000


@dataclass
class Source:
    """A study that a test changes."""

    results: Results | None
    name: str = "a study"
    revision: int = 0
    error: Exception | None = None

    def show(self, results: Results) -> None:
        self.results, self.error = results, None
        self.revision += 1

    def fail(self, error: Exception) -> None:
        self.error = error
        self.revision += 1

    def load(self) -> Results:
        if self.error is not None:
            raise self.error
        assert self.results is not None
        return self.results

    def study(self) -> Study:
        return Study(name=self.name, load=self.load, revision=lambda: self.revision)


@contextmanager
def serve(*studies: Study, port: int = 0) -> Iterator[str]:
    """Serve a dashboard, and give its address."""
    app = create_app(studies, title="HybridNAS", interval_ms=INTERVAL_MS)
    server = make_server("127.0.0.1", port, app.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Watched:
    """A page, and what it did that no page may do."""

    page: Page
    expected: str
    """What it may say as an error."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._hear(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))

    def _hear(self, text: str) -> None:
        if not self.expected or self.expected not in text:
            self.errors.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "file://", "data:", "blob:", "about:")):
            self.foreign.append(url)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one file: while Playwright runs, nothing else in the process can have an event loop."""
    if os.environ.get("HYBRIDNAS_WITHOUT_BROWSER"):
        pytest.skip("HYBRIDNAS_WITHOUT_BROWSER is set")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    expect.set_options(timeout=TIMEOUT_MS)
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages; in the end none may have said an error or asked anybody but this machine."""
    watched: list[Watched] = []
    with ExitStack() as stack:

        def open_one(url: str, *, theme: Any = "light", width: int = 1440, expected: str = "") -> Page:
            context = chromium.new_context(
                color_scheme=theme, viewport={"width": width, "height": 900}, accept_downloads=True
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            watched.append(Watched(page, expected))
            page.goto(url)
            return page

        yield open_one
        for entry in watched:
            assert not entry.errors
            assert not entry.foreign


@pytest.fixture
def source(rich_results: Results) -> Source:
    return Source(rich_results)


@pytest.fixture
def dashboard(source: Source) -> Iterator[str]:
    """Address of a dashboard of `source`."""
    with serve(source.study()) as url:
        yield url


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """Serves studies until the test ends."""
    with ExitStack() as stack:
        yield lambda *sources: stack.enter_context(serve(*(one.study() for one in sources)))


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[str]]:
    """Serves studies within a `with`."""
    return serve


@pytest.fixture
def make_source() -> type[Source]:
    return Source


@pytest.fixture
def violations() -> Callable[..., list[str]]:
    """Returns what axe finds serious or critical, each with the first element it is found in."""

    def run(page: Page, *, rules: Sequence[str] = ()) -> list[str]:
        options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
        found = Axe().run(page, options=options).response["violations"]
        return [
            f"{entry['id']}: {entry['help']}: {entry['nodes'][0]['html']}"
            for entry in found
            if entry["impact"] in ("serious", "critical")
        ]

    return run
