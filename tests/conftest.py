"""What all tests share: the option ``--long``, and the figures that stand at the end of a run."""

import signal
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")  # tests say nothing about time: this machine may be busy

# A shell starts what runs in its background with SIGINT ignored, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

FIGURES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that are bounded otherwise in full")


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether the whole of a long test is asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def print_figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Keep a measured figure, to be read off at the end of the run."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if rows := [test for test in terminalreporter.stats.get("passed", []) if test.nodeid.startswith("tests/security/")]:
        figures.append(f"attack table: {len(rows)} rows passed (tests/security)")
        shapes = [test for test in rows if "/test_ssrf.py::" in test.nodeid]
        figures.append(f"SSRF shapes: {len(shapes)} passed (tests/security/test_ssrf.py)")
    if figures:
        terminalreporter.section("figures")
        for figure in figures:
            terminalreporter.write_line(figure)
