"""Opens a queue in a process of its own and says what that took: ``python -m tests.support.opening FOLDER``."""

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from camiohookd.queue.task_queue import TaskQueue
from tests.support.checkout import ROOT


@dataclass(frozen=True, slots=True)
class Opening:
    """The cost of an opening: seconds, processor seconds, and the most bytes that the process ever had in memory."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(folder: Path) -> Opening:
    """Open the queue in `folder` in a new process, which then ends without closing it."""
    command = [sys.executable, "-m", "tests.support.opening", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=Opening)


def main() -> None:
    started, used = time.perf_counter(), time.process_time()
    TaskQueue(Path(sys.argv[1]), backoff=lambda _: 5.0)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    status = Path("/proc/self/status").read_text().splitlines()
    peak = 1024 * int(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
    sys.stdout.buffer.write(msgspec.json.encode(asdict(Opening(seconds, used, peak))))


if __name__ == "__main__":
    main()
