"""What all tests share: the option ``--long``, figures, and a report of what could not be tested here.

Figures and notes come from the test processes, which may be several (pytest-xdist), and are printed by one at the end.
"""

import signal
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")  # no test asserts times: this machine may be busy

# A shell starts background programs with SIGINT ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

NOT_TESTED = "NOT TESTED: "
"""How the reason of every skip begins; the rest says what is not tested, and why or what to install."""


@dataclass
class Findings:
    """What the end of the run prints: measured figures, sums over all tests, and what could not be tested."""

    figures: list[str] = field(default_factory=list)
    sums: Counter[str] = field(default_factory=Counter)
    not_tested: list[str] = field(default_factory=list)

    def add(self, figures: list[str], sums: dict[str, int], not_tested: list[str]) -> None:
        self.figures += figures
        self.sums.update(sums)
        self.not_tested += not_tested


FINDINGS = pytest.StashKey[Findings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that are bounded otherwise in full")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FINDINGS] = Findings()


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether ``--long`` asks for the full length of tests that are bounded otherwise."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def print_figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Print a measured figure at the end of the run."""
    return pytestconfig.stash[FINDINGS].figures.append


@pytest.fixture(scope="session")
def sums(pytestconfig: pytest.Config) -> Counter[str]:
    """Numbers by name; the end of the run prints their sums over all tests."""
    return pytestconfig.stash[FINDINGS].sums


@pytest.fixture
def not_tested(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Report at the end of the run what this test cannot show here, though it runs: ``not_tested("X, because Y")``."""

    def note(what: str) -> None:
        pytestconfig.stash[FINDINGS].not_tested.append(f"{NOT_TESTED}{what}")

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped without saying what is not tested."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not _reason(report).startswith(NOT_TESTED):
        report.outcome = "failed"
        report.longrepr = f"skipped with the reason {_reason(report)!r}, which should begin with {NOT_TESTED!r}"
    return report


def _reason(report: pytest.TestReport) -> str:
    assert isinstance(report.longrepr, tuple)
    return report.longrepr[2].removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of pytest-xdist's: send the findings to the one that prints them."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        findings = session.config.stash[FINDINGS]
        output["findings"] = {**vars(findings), "sums": dict(findings.sums)}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In the process that prints: take the findings of one of pytest-xdist's, unless it was killed."""
    output = getattr(node, "workeroutput", {})
    if "findings" in output:
        node.config.stash[FINDINGS].add(**output["findings"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    findings = config.stash[FINDINGS]
    figures = findings.figures + [f"{name}: {number}" for name, number in findings.sums.items()]
    if rows := [test for test in terminalreporter.stats.get("passed", []) if test.nodeid.startswith("tests/security/")]:
        figures.append(f"attack table: {len(rows)} rows passed (tests/security)")
        shapes = [test for test in rows if "/test_ssrf.py::" in test.nodeid]
        figures.append(f"SSRF shapes: {len(shapes)} passed (tests/security/test_ssrf.py)")
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
    skipped = [_reason(report) for report in terminalreporter.stats.get("skipped", [])]
    if lines := sorted({*skipped, *findings.not_tested}):
        terminalreporter.section("not tested")
        for line in lines:
            terminalreporter.write_line(line, yellow=True)
        things = "1 thing" if len(lines) == 1 else f"{len(lines)} things"
        terminalreporter.write_line(f"{NOT_TESTED}{things}, listed above", yellow=True)
