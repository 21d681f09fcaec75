"""Shared by the fault tests: folders in memory, and the counts of explored crashes."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.exploring import Tally

MEMORY = Path("/dev/shm")  # a tmpfs on every Linux; simulated crashes need no durable disk


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """Yield a temporary folder, in memory if /dev/shm exists."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Path]:
    """Yield one folder for all tests of a module: they share an `Explorer`, which explores common states once."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "crashed"


@pytest.fixture(scope="session")
def tally(sums: Counter[str]) -> Iterator[Tally]:
    """Count explored states over all tests of the run."""
    tally = Tally()
    yield tally
    sums["crash points explored"] += tally.points
    sums["different states of the disk after a crash"] += tally.states
    sums["recoveries compared with what was acknowledged"] += tally.checks
