"""Measure a start in memory and work, with a long backlog and with a damaged or unreadable snapshot."""

import os
import shutil
import socket
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camiohookd.queue.task import State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import line_reader, progress, quarantine
from tests.support import opening
from tests.support.bad_sectors import UnreadableDisk
from tests.support.daemon_process import Daemon
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import HOST, ROOMY, backoff, crash, long_reply, open_queue, seed

MB = 1_000_000
MIB = 1024 * 1024
MAX_PEAK = 220 * MB
IDLE = 150 * MB
"""What the daemon takes without a queue, at most; see tests/bench/memory.py."""
EMPTY = 60 * MB
"""Memory of the process without a queue, rounded up."""

Print = Callable[[str], None]


@pytest.fixture(scope="module")
def backlog(tmp_path_factory: pytest.TempPathFactory, long_run: bool) -> Path:
    """Make tasks that wait for delivery, with ten pictures of four labels each. Tests must not change them."""
    folder = tmp_path_factory.mktemp("backlog") / "state"
    seed(folder, 100_000 if long_run else 5_000, long_reply(), labeled_of=1)
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, long_run: bool) -> Path:
    """Make the tasks of `backlog`, the same number of done ones, and a tenth as many failed ones."""
    folder = tmp_path_factory.mktemp("full") / "state"
    count = 100_000 if long_run else 5_000
    seed(folder, count, long_reply(), labeled_of=1, done=count, failed=count // 10)
    return folder


@pytest.mark.parametrize("name", ["backlog", "full"])
def test_opens_a_long_backlog_of_labels_in_little_memory(
    name: str, request: pytest.FixtureRequest, long_run: bool, print_figure: Print
) -> None:
    folder = request.getfixturevalue(name)
    found = opening.measure(folder)
    count = 100_000 if long_run else 5_000
    print_figure(
        f"opening {count:,} labeled events ({name}): at most {found.peak_bytes / MB:.0f} MB of memory, "
        f"{found.cpu_seconds:.1f} s of the processor"
    )
    assert found.peak_bytes <= (MAX_PEAK if long_run else EMPTY + MAX_PEAK // 20)


@pytest.mark.parametrize("name", ["backlog", "full"])
def test_the_daemon_starts_with_a_long_backlog_of_labels_in_little_memory(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, long_run: bool, print_figure: Print
) -> None:
    """Nothing is delivered meanwhile: the callback's host does not exist."""
    shutil.copytree(request.getfixturevalue(name), tmp_path / "state")
    daemon = Daemon(tmp_path, f"https://{HOST}")
    daemon.start(wait=False)
    try:
        daemon.wait_until_started()
        peak, used = daemon.most_memory(), daemon.processor_seconds()
    finally:
        daemon.kill()
    count = 100_000 if long_run else 5_000
    print_figure(
        f"start of the daemon with {count:,} labeled events ({name}), model included: at most {peak / MB:.0f} MB of "
        f"memory, {used:.1f} s of the processor"
    )
    assert peak <= (MAX_PEAK if long_run else IDLE + MAX_PEAK // 20)


@pytest.fixture
def damaged(full: Path, tmp_path: Path, long_run: bool) -> Path:
    """Make the state of `full`, with garbage in the middle of the snapshot."""
    folder = tmp_path / "damaged"
    shutil.copytree(full, folder)
    add_garbage(folder / "queue.json", (64 if long_run else 3) * MIB)
    return folder


def add_garbage(path: Path, length: int) -> None:
    data = path.read_bytes()
    middle = data.index(b"\n", len(data) // 2) + 1
    path.write_bytes(data[:middle] + os.urandom(length) + data[middle:])


def test_garbage_in_the_snapshot_needs_one_quarantine_file_and_one_sync(damaged: Path) -> None:
    disk = CountingDisk()
    queue = open_queue(damaged, disk=disk)
    [kept] = queue.store.quarantine.files()
    assert disk.syncs["snapshot"] <= 3, "only the syncs of the format and the quarantine"
    assert kept.stat().st_size <= quarantine.MAX_FILE_BYTES + MIB
    assert queue.store.quarantine.counts == {"snapshot": 1}
    assert queue.store.index.counts[State.LABELLED] >= 4_998, "the lines beside the garbage are whole"
    crash(queue)


def test_a_start_with_garbage_takes_at_most_twice_as_long(
    full: Path, tmp_path: Path, long_run: bool, print_figure: Print
) -> None:
    """Compare processor time, which does not depend on other programs."""
    rounds, size = (3, 64) if long_run else (3, 1)
    good: list[float] = []
    bad: list[float] = []
    for number in range(rounds):
        for found, garbage in ((good, 0), (bad, size * MIB)):
            folder = tmp_path / f"{number} {garbage}"
            shutil.copytree(full, folder)
            if garbage:
                add_garbage(folder / "queue.json", garbage)
            found.append(opening.measure(folder).cpu_seconds)
            shutil.rmtree(folder)
    ratio = statistics.median(bad) / statistics.median(good)
    print_figure(f"a start with {size} MiB of garbage in the snapshot takes {ratio:.2f} times as long as a good one")
    assert ratio <= 2


def test_damage_to_every_other_line_loses_only_those_and_takes_no_more_work_per_line(tmp_path: Path) -> None:
    """Each damaged line makes one more span of lost ids."""
    seed(tmp_path / "state", 6_000, labeled_of=1)
    path = tmp_path / "state" / "queue.json"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line.replace(b"digest", b"d1gest") if n % 2 else line for n, line in enumerate(lines)))
    queue = open_queue(tmp_path / "state")
    assert queue.store.index.counts[State.LABELLED] == 6_000, "the records of the labels name the lost tasks"
    assert len(queue.store.quarantine.files()) == 1
    crash(queue)


def test_an_unreadable_part_of_the_snapshot_loses_no_waiting_task(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seed(tmp_path, 4_000, labeled_of=1)
    assert (tmp_path / "queue.json").stat().st_size > 3 * line_reader.PIECE_BYTES
    bad = range(line_reader.PIECE_BYTES + 1000, line_reader.PIECE_BYTES + 1100)
    queue = open_queue(tmp_path, disk=UnreadableDisk({"queue.json": bad}))
    assert queue.store.index.counts[State.LABELLED] == 4_000
    assert "queue.json: [Errno 5] Input/output error" in caplog.text
    assert "bytes that the disk could not read" in caplog.text
    while not queue.store.storage.compact_step():
        pass
    crash(queue)
    caplog.clear()
    again = open_queue(tmp_path)
    assert again.store.index.counts[State.LABELLED] == 4_000
    assert "could not read" not in caplog.text, "the next start is a good one"
    crash(again)


@pytest.mark.parametrize("name", ["queue.json", "queue.journal-00000001"])
def test_starts_although_a_file_cannot_be_read_at_all(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seed(tmp_path, 40, labeled_of=1)
    crash(open_queue(tmp_path))
    queue = open_queue(tmp_path, disk=UnreadableDisk({name: range(10**9)}))
    assert queue.store.index.counts[State.LABELLED] == 40
    assert f"{name}: [Errno 5] Input/output error" in caplog.text
    crash(queue)


def test_starts_after_a_real_read_error_of_the_kernel(tmp_path: Path) -> None:
    """To get a real input/output error, read /proc/PID/mem at an unmapped address."""
    seed(tmp_path, 40, labeled_of=1)
    crash(open_queue(tmp_path))
    (tmp_path / "queue.json").unlink()
    (tmp_path / "queue.json").symlink_to("/proc/self/mem")
    queue = TaskQueue(tmp_path, backoff=backoff, bounds=ROOMY)
    assert queue.store.index.counts[State.LABELLED] == 40
    queue.close()
    assert not (tmp_path / "queue.json").is_symlink(), "a new snapshot took its place"
    queue = TaskQueue(tmp_path, backoff=backoff, bounds=ROOMY)
    assert queue.store.index.counts[State.LABELLED] == 40
    queue.close()


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Yield the socket on which systemd receives the process's notices."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"{folder}/notify")
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        yield listening


def test_a_long_start_asks_systemd_for_more_time_and_reports_progress(
    tmp_path: Path, notices: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_AFTER", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    seed(tmp_path, 5_000)
    crash(open_queue(tmp_path))
    first, *_ = heard(notices)
    assert first.startswith("EXTEND_TIMEOUT_USEC=120000000\nSTATUS=Opening the queue: reading queue.json, ")


def test_a_short_start_sends_systemd_no_notice(tmp_path: Path, notices: socket.socket) -> None:
    seed(tmp_path, 5_000)
    crash(open_queue(tmp_path))
    assert heard(notices) == []


def heard(notices: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(notices.recv(4096).decode())
        except BlockingIOError:
            return found
