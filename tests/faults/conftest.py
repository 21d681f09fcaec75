"""What the fault tests share: where they build folders, and the figures that stand at the end of a run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.exploring import Tally

MEMORY = Path("/dev/shm")  # a tmpfs on every Linux; nothing has to be durable where crashes are played
TALLY = pytest.StashKey[Tally]()
REMARKS = pytest.StashKey[list[str]]()


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Path]:
    """The same for all tests of a module: an `Explorer` that they share goes through what they have in common once."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "crashed"


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    """Counts what is explored, over all tests."""
    return pytestconfig.stash.setdefault(TALLY, Tally())


@pytest.fixture
def remarks(pytestconfig: pytest.Config) -> list[str]:
    """What has to be said aloud at the end of the run."""
    return pytestconfig.stash.setdefault(REMARKS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash.get(TALLY, None)
    if tally is not None:
        terminalreporter.write_line(
            f"crash points explored: {tally.points}, with {tally.states} different states of the disk after them, "
            f"recovered and held against what was acknowledged {tally.checks} times"
        )
    remarks: list[str] = config.stash.get(REMARKS, list[str]())
    for remark in sorted(set(remarks)):
        terminalreporter.write_line(remark.strip(), yellow=True)
