"""A real browser for tests: Debian's chromium, driven by Playwright, with axe-core's rules of accessibility.

chromium on the PATH ─▶ Playwright, installed once beside the tests' other packages, hashes checked ─▶ `Browser`

Playwright is large, and useful only where a browser is, so that it is not among the tests' other packages.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import extra_packages
from tests.support.checkout import ROOT

NOT_TESTED = "NOT TESTED: the status page in a real browser"
PATIENCE_MS = 30_000
POLL_MS = 20
NAMES = ("chromium", "chromium-browser", "google-chrome")

_LOCK = ROOT / "tests/browser/requirements.lock"


def executable() -> str:
    """Return the path of the browser; skip the test if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"{NOT_TESTED}, because chromium is not installed (apt install chromium)")
    return found


def install() -> Path:
    """Install Playwright, once, and return its folder; skip the test if that fails."""
    return extra_packages.install(_LOCK, "browser", f"{NOT_TESTED}, because Playwright")


@dataclass
class Tab:
    """A tab, and what must not happen in it. `page` is Playwright's."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def open(self, path: str) -> "Tab":
        """Open a path of the status page."""
        self.page.goto(f"{self.url}{path}")
        return self

    def until(self, expression: str) -> None:
        """Return as soon as a JavaScript expression is true. (The page's policy forbids Playwright's own wait.)"""
        ends = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < ends, f"this did not become true: {expression}"
            self.page.wait_for_timeout(POLL_MS)

    def too_wide(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def unclean(self) -> None:
        """Fail if the console has an error, or anything was asked of another host."""
        assert self.complaints == []
        assert self.others == []

    def barriers(self) -> list[str]:
        """Return what axe-core calls serious or critical, with the first place of each."""
        session = self.page.context.new_cdp_session(self.page)  # the page's security policy does not apply to it
        session.send("Runtime.evaluate", {"expression": (install() / "axe_playwright_python/axe.min.js").read_text()})
        found = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then(found => found.violations.map(each => [each.impact, each.id,"
                " each.nodes[0].html].join(' ')))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        session.detach()
        return [each for each in found["result"]["value"] if each.startswith(("serious", "critical"))]


@dataclass(frozen=True)
class Browser:
    """The browser; `engine` is Playwright's."""

    engine: Any

    @contextmanager
    def tab(
        self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light", **more: Any
    ) -> Iterator[Tab]:
        """Open a tab without cookies for the status page at `url`."""
        context = self.engine.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, ignore_https_errors=True, **more
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        tab = Tab(page, url)
        page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        page.on("console", lambda line: tab.complaints.append(line.text) if line.type == "error" else None)
        context.on("request", _noting(tab))
        try:
            yield tab
        finally:
            context.close()


def _noting(tab: Tab) -> Callable[[Any], None]:
    own = urlsplit(tab.url).netloc

    def note(request: Any) -> None:
        if urlsplit(request.url).netloc != own:
            tab.others.append(request.url)

    return note


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser; skip the test if it cannot be started."""
    program = executable()
    install()
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            # The pages are our own, and its sandbox needs rights that root and containers do not have.
            engine = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"{NOT_TESTED}, because it does not start: {error.message}")
        try:
            yield Browser(engine)
        finally:
            engine.close()
