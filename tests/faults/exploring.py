"""Recover every state that a crash may leave, and compare it with what was acknowledged before."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from tests.faults.crashes import Crash, Cuts, Folder, crashes
from tests.faults.model import Ledger, Seen, TestClock, digest_of, event, kill, open_queue, see, see_all
from tests.faults.recording import Entry, Mark, RecordingDisk

MAX_PROBLEMS = 5


@dataclass(slots=True)
class Tally:
    """Counts of explored states, printed at the end of the run."""

    points: int = 0
    states: int = 0
    checks: int = 0


Tasks = dict[str, tuple[str, Seen]]
"""The result of `model.see_all`."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The tasks after opening the queue in a folder, and the problems that are wrong after any acknowledgement."""

    tasks: Tasks
    problems: tuple[str, ...]
    next_id: int


class Explorer:
    """Builds the states in the folder `workshop`, which is in memory if possible."""

    def __init__(self, workshop: Path, tally: Tally, cuts: Cuts) -> None:
        self._workshop = workshop
        self._tally = tally
        self._cuts = cuts
        self._recovered: dict[bytes, Recovered] = {}
        self._rests: dict[bytes, Recovered] = {}

    def explore(self, disk: RecordingDisk, ledger: Ledger | None = None) -> list[str]:
        """Crash after every entry of the disk's log; return the problems, at most `MAX_PROBLEMS`.

        `ledger` holds what was acknowledged before the log begins.
        """
        log = disk.log
        ledger, heard = ledger or Ledger(), 0
        problems: list[str] = []
        checked: set[bytes] = set()
        for crash in crashes(disk.start, log, self._cuts):
            for entry in log[heard : crash.entry]:
                if isinstance(entry, Mark):
                    ledger.hear(entry.fact)
                    checked.clear()
            heard = crash.entry
            key = _hash(crash.folder)
            if key in checked:
                continue
            checked.add(key)
            self._tally.checks += 1
            problems += [_describe(crash, log, problem) for problem in self._problems(key, crash.folder, ledger)]
            if len(problems) >= MAX_PROBLEMS:
                break
        self._tally.points += len(log)
        return problems[:MAX_PROBLEMS]

    def _problems(self, key: bytes, folder: Folder, ledger: Ledger) -> list[str]:
        if key not in self._recovered:
            self._recovered[key] = self._recover(folder)
            self._tally.states += 1
        recovered = self._recovered[key]
        problems = [*recovered.problems, *ledger.problems(recovered.tasks)]
        if recovered.next_id <= ledger.highest_id:
            problems.append(f"id {recovered.next_id} was given out again, up to {ledger.highest_id} are taken")
        return problems

    def _recover(self, folder: Folder) -> Recovered:
        build(self._workshop, folder)
        logging.disable()  # pytest would keep the log of a hundred thousand recoveries
        try:
            return self._recover_in_workshop()
        except Exception as error:  # noqa: BLE001  # the test looks for any exception of recovery
            return Recovered({}, (f"recovery raised {error!r}",), 1 << 60)
        finally:
            logging.disable(logging.NOTSET)

    def _recover_in_workshop(self) -> Recovered:
        """Run `recover_twice`, cached by the state after the first recovery, which different crashes often share."""
        tasks = recover(self._workshop)
        key = _hash(_read(self._workshop))
        if key not in self._rests:
            self._rests[key] = go_on(self._workshop)
        return _joined(tasks, self._rests[key])


def recover_twice(folder: Path) -> Recovered:
    """Recover, crash, and recover again."""
    tasks = recover(folder)
    return _joined(tasks, go_on(folder))


def recover(folder: Path) -> Tasks:
    """Return what a start finds. The folder is left as if the process had died then."""
    queue = open_queue(folder)
    tasks = see_all(queue)
    kill(queue)
    return tasks


def go_on(folder: Path) -> Recovered:
    """After a recovery: open again, post every event again, post a new one, stop cleanly, and open again."""
    clock = TestClock()
    clock.seconds += 1
    queue = open_queue(folder, clock=clock)
    tasks, problems = see_all(queue), []
    with queue.batch():
        for digest, (task_id, seen) in tasks.items():
            if seen is not None and seen[0] != "failed" and queue.store.index.with_digest(digest) != int(task_id):
                problems.append(f"event {digest[:6]} is not known as task {task_id} any more")
        added = event("one more")
        receipt = queue.put(added)
        queue.commit()
    seen = see(queue, queue.get(int(receipt.id)))
    if receipt.duplicate or seen != ("pending", added.pictures):
        problems.append(f"a new event is not accepted as expected: {receipt}, {seen}")
    queue.close()
    queue = open_queue(folder, clock=clock)
    if (last := see_all(queue)) != tasks | {digest_of("one more"): (receipt.id, seen)}:
        problems.append(f"after a clean stop there is {last}, before it there was {tasks}")
    kill(queue)
    return Recovered(tasks, tuple(problems), int(receipt.id))


def _joined(first: Tasks, rest: Recovered) -> Recovered:
    """Return what the first recovery found, with the problems of all recoveries."""
    if rest.tasks == first:
        return rest
    return Recovered(
        first, (*rest.problems, f"a second recovery finds {rest.tasks}, the first found {first}"), rest.next_id
    )


def build(root: Path, folder: Folder) -> None:
    """Replace the state folder `root` by the given files."""
    rmtree(root, ignore_errors=True)
    (root / "segments").mkdir(parents=True)
    for name, data in folder.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def _read(root: Path) -> Folder:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def expect_none(problems: list[str]) -> None:
    assert not problems, "\n\n".join(["", *problems])


def _hash(folder: Folder) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(folder):
        digest.update(b"%b %d\n" % (name.encode(), len(folder[name])))
        digest.update(folder[name])
    return digest.digest()


def _describe(crash: Crash, log: list[Entry], problem: str) -> str:
    last = "\n    ".join(str(entry)[:160] for entry in log[max(0, crash.entry - 6) : crash.entry])
    where = f"crash after entry {crash.entry} of {len(log)}: {crash.how}"
    return f"{problem}\n  {where}\n  the log's last entries:\n    {last}"
