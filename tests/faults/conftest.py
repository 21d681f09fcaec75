"""What the fault tests share: where they build folders, and the count of what was explored."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.exploring import Tally

MEMORY = Path("/dev/shm")  # a tmpfs on every Linux; nothing has to be durable where crashes are played


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
def tally(sums: Counter[str]) -> Iterator[Tally]:
    """Count what is explored, over all tests."""
    tally = Tally()
    yield tally
    sums["crash points explored"] += tally.points
    sums["different states of the disk after a crash"] += tally.states
    sums["recoveries compared with what was acknowledged"] += tally.checks
