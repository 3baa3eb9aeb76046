"""The system's Chromium without a window, for what looks at a page as a reader does. Playwright brings none here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from search_spaces.errors import UnavailableError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")

# In many containers Chromium cannot set up its sandbox, and only pages of our own are opened; without a GPU, WebGL is
# drawn by the processor.
_ARGUMENTS: Final = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start a browser, and end it afterwards.

    Raises:
        UnavailableError: no Chromium is installed.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise UnavailableError(
            f"This looks at pages with Chromium; none of {', '.join(NAMES)} is on PATH. "
            "`make browser` installs it; on Debian by hand: apt-get install chromium."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
