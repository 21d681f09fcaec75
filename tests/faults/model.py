"""Record what a queue was asked for and what it acknowledged, to compare it with the state after a crash.

`Driver` calls a queue's verbs one commit at a time, and marks requests and acknowledgements in the disk's log. `Ledger`
sums up those marks at one moment: for each event, the allowed outcomes.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from camiohookd.errors import QueueError
from camiohookd.queue.task import Cause, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage.record import DamagedRecordError
from camiohookd.system.disk import Disk
from camiohookd.wire.event import Event
from camiohookd.wire.images import Picture
from camiohookd.wire.reply import Label, Reply
from tests.faults.recording import Entry, Mark, MemoryDisk, MortalDisk, RecordingDisk

Seen = tuple[Any, ...] | None
"""The parts of a task that must survive, depending on its state; None means no task."""

HOUR = 3600.0


class TestClock:
    """A clock that moves only when the test sets it."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = 1000.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.seconds

    def boot(self) -> tuple[str, float]:
        return "a boot", self.seconds


def event(name: str, *, size: int = 60, pictures: int = 1) -> Event:
    """Return an event that differs in every part from the event of any other name."""
    url = f"http://127.0.0.1:9000/{name}"
    images = tuple(
        Picture(f"2017-05-05T01:31:1{number}", hashlib.shake_128(f"{name} {number}".encode()).digest(size))
        for number in range(pictures)
    )
    rest = {"callback_url": url, "camera": "front", "images": [{"timestamp": image.timestamp} for image in images]}
    return Event(url, "front", None, images, (), (), rest, digest_of(name))


def digest_of(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def reply(name: str) -> Reply:
    return Reply({"2017-05-05T01:31:10": {name: Label(0.5, ((0.1, 0.2), (0.3, 0.4)))}})


def open_queue(folder: Path, disk: Disk | None = None, clock: TestClock | None = None, **settings: Any) -> TaskQueue:
    return TaskQueue(folder, backoff=lambda _: 5.0, disk=disk or MemoryDisk(), clock=clock or TestClock(), **settings)


def kill(queue: TaskQueue) -> None:
    """Leave a queue like a killed process: nothing is cleaned up, but the kernel releases the lock."""
    queue.store._folder.close()
    if isinstance(queue.store.disk, MortalDisk):
        queue.store.disk.die()


def damage(path: Path, where: bytes) -> None:
    """Overwrite with zeros the given bytes, which must occur once in the file."""
    data = path.read_bytes()
    assert data.count(where) == 1
    path.write_bytes(data.replace(where, bytes(len(where))))


def see(queue: TaskQueue, task: Task) -> Seen:
    """Return the parts of a task that must survive."""
    match task.state:
        case State.PENDING:
            return "pending", _pictures(queue, task)
        case State.LABELLED:
            return "labelled", _reply(queue, task), task.attempts, task.not_before, _pictures_kept(queue, task)
        case State.DONE:
            return ("done",)
        case State.FAILED:
            kept_reply = _reply(queue, task) if task.reply else None
            return "failed", task.cause, task.reason, _pictures_kept(queue, task), kept_reply


def plain(kept: Reply | None) -> bytes | None:
    return msgspec.json.encode(kept) if kept is not None else None


def _reply(queue: TaskQueue, task: Task) -> bytes | str | None:
    try:
        return plain(queue.read_reply(task))
    except DamagedRecordError as error:
        return f"damaged: {error}"


def _pictures_kept(queue: TaskQueue, task: Task) -> tuple[Picture, ...] | str | None:
    return _pictures(queue, task) if task.payload else None


def _pictures(queue: TaskQueue, task: Task) -> tuple[Picture, ...] | str:
    try:
        return queue.read_payload(task).pictures
    except DamagedRecordError as error:
        return f"damaged: {error}"


def see_all(queue: TaskQueue) -> dict[str, tuple[str, Seen]]:
    """Return every task by its event's digest, as (id, result of `see`)."""
    tasks = [queue.get(int(key)) for key in queue.store.storage.documents]
    found = {task.digest: (task.id, see(queue, task)) for task in tasks}
    assert len(found) == len(tasks), f"two tasks have the same event: {[(task.id, task.digest) for task in tasks]}"
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """A mark before a commit: the outcomes that it would give its events."""

    outcomes: dict[str, Seen]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A mark after a commit was acknowledged, with the ids of new events."""

    outcomes: dict[str, Seen]
    ids: dict[str, str]


class Ledger:
    """The allowed outcomes at one moment.

    A refused commit has changed nothing in the running queue, but it may be found done after a crash.
    """

    def __init__(self) -> None:
        self.allowed: dict[str, list[Seen]] = {}
        self.ids: dict[str, str] = {}
        self.highest_id = 0

    def hear(self, fact: object) -> None:
        match fact:
            case Asked(outcomes):
                for digest, seen in outcomes.items():
                    self.allowed.setdefault(digest, [None]).append(seen)
            case Acknowledged(outcomes, ids):
                self.allowed |= {digest: [seen] for digest, seen in outcomes.items()}
                self.ids |= ids
                self.highest_id = max([self.highest_id, *map(int, ids.values())])

    def now(self, digest: str) -> Seen:
        """Return the event's last acknowledged outcome."""
        return self.allowed.get(digest, [None])[0]

    def problems(self, found: dict[str, tuple[str, Seen]]) -> Iterator[str]:
        """Return every difference between the tasks found and those acknowledged."""
        for digest in self.allowed.keys() | found.keys():
            task_id, seen = found.get(digest, ("", None))
            allowed = self.allowed.get(digest, [None])
            if seen not in allowed:
                yield f"event {digest[:6]} (task {task_id or self.ids.get(digest)}) is {seen}, allowed: {allowed}"
            known_id = self.ids.get(digest)
            if len(allowed) == 1 and seen is not None and known_id not in (None, task_id):
                yield f"event {digest[:6]} was task {known_id} and is now task {task_id}"


def ledger_of(log: list[Entry]) -> Ledger:
    """Return the ledger of a log's marks."""
    ledger = Ledger()
    for entry in log:
        if isinstance(entry, Mark):
            ledger.hear(entry.fact)
    return ledger


class Driver:
    """A queue on a recording disk, with its ledger."""

    def __init__(self, folder: Path, disk: RecordingDisk | None = None, **settings: Any) -> None:
        self.folder = folder
        self.disk = disk or RecordingDisk(folder)
        self.clock = TestClock()
        self.ledger = Ledger()
        self._settings = settings
        self.start()

    def _open(self) -> TaskQueue:
        return open_queue(self.folder, self.disk, self.clock, **self._settings)

    def hear(self, fact: object) -> None:
        self.disk.mark(fact)
        self.ledger.hear(fact)

    @contextmanager
    def commit(self, outcomes: dict[str, Seen]) -> Iterator[dict[str, str]]:
        """Mark the block as one commit with these outcomes by event. Yield a dictionary for the ids of new events."""
        by_digest = {digest_of(name): seen for name, seen in outcomes.items()}
        ids: dict[str, str] = {}
        self.hear(Asked(by_digest))
        try:
            with self.queue.batch():
                yield ids
                self.queue.commit()
        except QueueError:
            self.queue.undo()
            raise
        self.hear(Acknowledged(by_digest, {digest_of(name): task_id for name, task_id in ids.items()}))

    def id_of(self, name: str) -> int:
        return int(self.ledger.ids[digest_of(name)])

    def now(self, name: str) -> Seen:
        return self.ledger.now(digest_of(name))

    # verbs

    def put(self, *names: str, **form: int) -> None:
        events = {name: event(name, **form) for name in names}
        with self.commit({name: ("pending", each.pictures) for name, each in events.items()}) as ids:
            for name, each in events.items():
                receipt = self.queue.put(each)
                assert not receipt.duplicate
                ids[name] = receipt.id

    def put_whether_known(self, name: str) -> None:
        """Post an event again, as a sender does that got no answer."""
        with self.commit({name: ("pending", event(name).pictures)}) as ids:
            ids[name] = self.queue.put(event(name)).id

    def put_again(self, name: str, becomes: Seen = None) -> None:
        """Post a duplicate; a failed task then `becomes` another outcome."""
        with self.commit({name: becomes or self.now(name)}):
            assert self.queue.put(event(name))[:2] == (str(self.id_of(name)), True)

    def claim(self, *names: str) -> None:
        with self.commit({}):
            claimed = [self.queue.claim() for _ in names]
        assert [task and int(task.id) for task in claimed] == [self.id_of(name) for name in names]

    def give_back(self, name: str) -> None:
        with self.commit({}):
            self.queue.give_back(self.id_of(name))

    def labelled(self, *names: str) -> None:
        with self.commit({name: self.once_labelled(name) for name in names}):
            for name in names:
                self.queue.labelled(self.id_of(name), reply(name))

    def once_labelled(self, name: str) -> Seen:
        """Return the outcome of labeling a pending task."""
        seen = self.now(name)
        assert seen is not None
        return "labelled", plain(reply(name)), 0, 0.0, seen[1]

    def retry(self, name: str) -> None:
        seen = self.now(name)
        assert seen is not None
        outcome = ("labelled", seen[1], seen[2] + 1, self.queue.store.elapsed.now() + 5.0, seen[4])
        with self.commit({name: outcome}):
            self.queue.deliveries.retry(self.id_of(name), "503")

    def done(self, *names: str) -> None:
        with self.commit(dict.fromkeys(names, ("done",))):
            for name in names:
                self.queue.deliveries.done(self.id_of(name))

    def fail(self, name: str, reason: str) -> None:
        with self.commit({name: self._failed(name, reason)}):
            self.queue.fail(self.id_of(name), Cause.LABELING, reason)

    def _failed(self, name: str, reason: str) -> Seen:
        seen = self.now(name)
        assert seen is not None
        kept = (seen[1], None) if seen[0] == "pending" else (seen[4], seen[1])
        return "failed", Cause.LABELING, reason, *kept

    def redrive(self, name: str) -> None:
        with self.commit({name: self.redriven(name)}):
            self.queue.redrive(self.id_of(name))

    def redriven(self, name: str) -> Seen:
        """Return the outcome of retrying a failed task."""
        seen = self.now(name)
        assert seen is not None
        _, _, _, pictures, kept_reply = seen
        return ("labelled", kept_reply, 0, 0.0, pictures) if kept_reply else ("pending", pictures)

    def drop(self, name: str) -> None:
        with self.commit({name: None}):
            self.queue.drop(self.id_of(name))

    def life(self, *names: str) -> None:
        """Take an event from acceptance to delivery."""
        self.put(*names)
        self.labelled(*names)
        self.done(*names)

    def keep_house(self, step: Callable[[], object], outcomes: dict[str, Seen]) -> None:
        """Run one step of housekeeping, with these outcomes by event."""
        by_digest = {digest_of(name): seen for name, seen in outcomes.items()}
        self.hear(Asked(by_digest))
        step()
        self.hear(Acknowledged(by_digest, {}))

    # ends of a run

    def kill_and_start(self) -> None:
        kill(self.queue)
        self.start()

    def stop_and_start(self) -> None:
        self.stop()
        self.start()

    def start(self) -> None:
        self.queue = self._open()
        self.running = True

    def stop(self) -> None:
        self.running = False
        self.queue.close()
        self.disk.die()
