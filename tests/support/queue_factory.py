"""What the tests of the queue share: events, a clock set by the test, a queue to open, and a way to kill it."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.state_folder import FORMAT
from camiohookd.queue.task import State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import reply_record, snapshot
from camiohookd.storage.documents import Documents
from camiohookd.storage.segments import SegmentFolder, Segments
from camiohookd.wire.event import Event
from camiohookd.wire.images import Picture
from camiohookd.wire.reply import Label, Reply
from tests.support.fault_disk import CountingDisk

Result = TypeVar("Result")

HOST = "camio.test"
REPLY = Reply({"2017-05-05T01:31:00": {"cat": Label(0.93, ((0.1, 0.2), (0.4, 0.2), (0.4, 0.7), (0.1, 0.7)))}})
ROOMY = Bounds(max_tasks=10**9, max_bytes=10**12, min_free_bytes=0)


def make_event(number: int, *, pictures: int = 1, size: int = 40, camera: str = "front", host: str = HOST) -> Event:
    """Return event `number` with pictures of `size` bytes each; it is the same at every call."""
    noise = random.Random(number)
    url = f"https://{host}/callbacks/{number}"
    timestamps = [f"2017-05-05T01:31:{second:02d}" for second in range(pictures)]
    return Event(
        callback_url=url,
        camera=camera,
        user_id="user",
        pictures=tuple(Picture(timestamp, noise.randbytes(size)) for timestamp in timestamps),
        rejected=(),
        warnings=(),
        rest={"callback_url": url, "camera": camera, "images": [{"timestamp": timestamp} for timestamp in timestamps]},
        digest=hashlib.blake2b(url.encode(), digest_size=16).hexdigest(),
    )


class HandClock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.wall_seconds = 1_500_000_000.0
        self.boot_number = 1
        self.boot_seconds = 50.0

    def wall(self) -> float:
        return self.wall_seconds

    def boot(self) -> tuple[str, float]:
        return f"boot-{self.boot_number}", self.boot_seconds

    def tick(self, seconds: float) -> None:
        self.wall_seconds += seconds
        self.boot_seconds += seconds

    def reboot(self) -> None:
        self.boot_number += 1
        self.boot_seconds = 3.0


def backoff(failures: int) -> float:
    """Return the backoff in seconds without jitter, so that a test knows when the next try is due."""
    return min(600.0, 5.0 * 2.0 ** min(failures - 1, 20))


def open_queue(folder: Path, **settings: Any) -> TaskQueue:
    """Open the queue in `folder`, on a disk that never syncs: no test here cuts the power."""
    chosen: dict[str, Any] = {"backoff": backoff, "bounds": ROOMY, "disk": CountingDisk(), **settings}
    return TaskQueue(folder, **chosen)


def commit(queue: TaskQueue, operation: Callable[[TaskQueue], Result]) -> Result:
    """Run `operation` as the store thread does, alone in its batch."""
    attempt = BatchEntry(operation)
    run_together(queue, [attempt])
    if attempt.error is not None:
        raise attempt.error
    result: Result = attempt.result
    return result


def accept(queue: TaskQueue, event: Event) -> int:
    return int(commit(queue, lambda q: q.put(event)).id)


def label(queue: TaskQueue, event: Event, reply: Reply = REPLY) -> int:
    """Accept `event` and label it; return its task's id."""
    task_id = accept(queue, event)
    commit(queue, lambda q: q.claim())
    commit(queue, lambda q: q.labelled(task_id, reply))
    return task_id


def crash(queue: TaskQueue) -> None:
    """Simulate a kill of the process that has `queue`: close its files as they are, and free the lock."""
    queue.store._folder.close()
    disk = queue.store.disk
    assert isinstance(disk, CountingDisk)
    disk.die()


def long_reply(pictures: int = 10, labels: int = 4) -> Reply:
    """Return the labels of an event with many pictures."""
    boxes = {f"label {number}": Label(0.5 + number / 100, ((0.1, 0.2), (0.4, 0.2), (0.4, 0.7), (0.1, 0.7)))
             for number in range(labels)}  # fmt: skip
    return Reply({f"2017-05-05T01:31:{number:02d}.738647": boxes for number in range(pictures)})


def seed(
    folder: Path, waiting: int, reply: Reply = REPLY, *, labeled_of: int = 2, done: int = 0, failed: int = 0
) -> None:
    """Write a state folder as a clean stop leaves it.

    `waiting` tasks, every `labeled_of`-th of them labeled, then `done` delivered and `failed` labeled ones.
    """
    folder.mkdir(exist_ok=True)
    disk = CountingDisk()
    replies = Segments(SegmentFolder(folder / "replies", "replies", reply_record.MAGIC), disk)
    documents = Documents()
    for number in range(1, waiting + done + failed + 1):
        document = Task(
            digest=f"{number * 2**90:032x}",
            received=1.5e9,
            images=3,
            camera=f"camera {number % 20}",
            user_id="user",
            callback_url=f"https://{HOST}/callbacks/{number}",
        ).to_document()
        ended = number - waiting
        if 0 < ended <= done:
            del document["callback_url"]
            document |= {"state": State.DONE.value, "ended": float(ended)}
        elif ended > 0 or number % labeled_of == 1 % labeled_of:
            place = replies.append(reply_record.encode(number, document, reply))
            replies.need(place)
            kept = [1 + number // 50, 80_000 * (number % 50), 80_000]  # until the labels are delivered
            document |= {"state": State.LABELLED.value, "payload": kept, "reply": list(place)}
            if ended > 0:
                document |= {"state": State.FAILED.value, "ended": float(ended), "cause": "refused", "reason": "404"}
        else:
            document["payload"] = [1, 40 * number, 40]
        documents[str(number)] = document
    replies.retire()
    snapshot.write_all(disk, folder / "queue.json", documents)
    (folder / "format").write_text(f"{FORMAT}\n")
