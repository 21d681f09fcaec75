"""The queue's verbs: allowed states, stored fields and results."""

from pathlib import Path

import pytest
from tinydb import TinyDB, where

from camiohookd.errors import NoSuchTask, StateFolderError, StoreUnavailable, WrongState
from camiohookd.queue.task import Cause, DueDelivery, State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage.record import DamagedRecordError
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, HandClock, accept, commit, crash, label, make_event, open_queue


@pytest.fixture
def queue(tmp_path: Path, clock: HandClock, disk: CountingDisk) -> TaskQueue:
    return open_queue(tmp_path / "state", clock=clock, disk=disk)


def take(queue: TaskQueue) -> DueDelivery:
    delivery = commit(queue, lambda q: q.deliveries.take())
    assert delivery is not None
    return delivery


def claim(queue: TaskQueue) -> int | None:
    task = commit(queue, lambda q: q.claim())
    return None if task is None else int(task.id)


# put


def test_a_new_event_is_pending_with_all_its_fields(queue: TaskQueue) -> None:
    event = make_event(1, pictures=3, camera="garden")
    task = queue.get(accept(queue, event))
    assert (task.state, task.camera, task.user_id, task.images) == (State.PENDING, "garden", "user", 3)
    assert (task.callback_url, task.digest, task.received) == (event.callback_url, event.digest, 1_500_000_000.0)
    stored = queue.read_payload(task)
    assert (stored.pictures, stored.meta["rest"]) == (event.pictures, event.rest)


@pytest.mark.parametrize("ends", ["pending", "labelled", "done"])
def test_a_known_event_is_a_duplicate_of_the_same_task(queue: TaskQueue, ends: str) -> None:
    task_id = accept(queue, make_event(1)) if ends == "pending" else label(queue, make_event(1))
    if ends == "done":
        commit(queue, lambda q: q.deliveries.done(task_id))
    assert commit(queue, lambda q: q.put(make_event(1)))[:2] == (str(task_id), True)
    assert queue.get(task_id).state == ends
    assert len(queue.store.table.tinydb) == 1


def test_twins_in_one_batch_are_queued_once(queue: TaskQueue) -> None:
    with queue.batch():
        receipts = [queue.put(make_event(1)), queue.put(make_event(1))]
        queue.commit()
    assert [receipt[:2] for receipt in receipts] == [("1", False), ("1", True)]


def test_a_failed_event_is_retried_when_it_is_posted_again(queue: TaskQueue) -> None:
    task_id = accept(queue, make_event(1))
    commit(queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
    assert commit(queue, lambda q: q.put(make_event(1)))[:2] == (str(task_id), True)
    assert queue.get(task_id).state is State.PENDING


def test_a_failed_event_without_pictures_is_stored_again_when_it_is_posted_again(queue: TaskQueue) -> None:
    task_id = accept(queue, make_event(1))
    commit(queue, lambda q: q.fail(task_id, Cause.LABELING, "test"))
    commit(queue, lambda q: q.store.table.change(task_id, {}, remove=("payload",)))
    receipt = commit(queue, lambda q: q.put(make_event(1)))
    assert not receipt.duplicate
    assert [int(task.doc_id) for task in queue.store.table.tinydb] == [int(receipt.id)] != [task_id]


@pytest.mark.parametrize(("call", "kind"), [("write", "segments"), ("sync", "segments"), ("write", "journal")])
def test_a_refused_event_leaves_nothing(
    tmp_path: Path, queue: TaskQueue, disk: CountingDisk, call: str, kind: str
) -> None:
    accept(queue, make_event(1))
    disk.fails = lambda name, path: OSError("full") if name == call and kind in str(path) else None
    with queue.batch():
        try:
            queue.put(make_event(2))
            queue.commit()
        except StoreUnavailable as error:
            queue.undo()
            assert "full" in str(error)
    assert queue.store.health.trouble is not None
    disk.fails = lambda *_: None
    accept(queue, make_event(3))
    assert queue.store.health.trouble is None
    crash(queue)
    again = open_queue(tmp_path / "state")
    assert sorted(document["digest"] for document in again.store.table.tinydb) == sorted(
        make_event(n).digest for n in (1, 3)
    )
    for document in again.store.table.tinydb:
        assert again.read_payload(again.get(document.doc_id)).meta["digest"] == document["digest"]
    crash(again)


# claim, give_back, labeled


def test_trouble_lasts_until_the_disk_takes_a_change_and_is_why_events_are_refused(
    tmp_path: Path, disk: CountingDisk
) -> None:
    queue = open_queue(tmp_path, disk=disk)
    disk.fails = lambda call, _: OSError("full") if call == "write" else None
    with pytest.raises(StoreUnavailable):
        accept(queue, make_event(1))
    disk.fails = lambda *_: None
    for _ in range(3):
        commit(queue, lambda q: q.tasks.counts)  # changes nothing
        assert queue.store.health.trouble == queue.capacity.refusal() == "the disk refuses to write: full"
    commit(queue, lambda q: q.store.note_time())
    assert queue.store.health.trouble is queue.capacity.refusal() is None


def test_labels_the_oldest_first(queue: TaskQueue) -> None:
    for number in (1, 2, 3):
        accept(queue, make_event(number))
    assert [claim(queue) for _ in range(4)] == [1, 2, 3, None]


def test_labels_the_newest_first_if_configured(tmp_path: Path, disk: CountingDisk) -> None:
    queue = open_queue(tmp_path, disk=disk, newest_first=True)
    for number in (1, 2):
        accept(queue, make_event(number))
    assert claim(queue) == 2
    accept(queue, make_event(3))
    assert [claim(queue) for _ in range(3)] == [3, 1, None]


def test_a_task_given_back_keeps_its_place(queue: TaskQueue) -> None:
    for number in (1, 2, 3):
        accept(queue, make_event(number))
    assert [claim(queue), claim(queue)] == [1, 2]
    commit(queue, lambda q: q.give_back(1))
    assert [claim(queue), claim(queue)] == [1, 3]


def test_a_claim_makes_no_disk_call(queue: TaskQueue, disk: CountingDisk) -> None:
    accept(queue, make_event(1))
    disk.calls.clear()
    claim(queue)
    assert disk.calls == {"write": 1}


def test_the_pictures_stay_until_the_reply_is_delivered(queue: TaskQueue) -> None:
    task = queue.get(label(queue, make_event(1)))
    assert (task.state, queue.read_reply(task)) == (State.LABELLED, REPLY)
    assert queue.read_payload(task).pictures == make_event(1).pictures
    commit(queue, lambda q: q.deliveries.done(int(task.id)))
    with pytest.raises(DamagedRecordError, match="deleted"):
        queue.read_payload(queue.get(int(task.id)))


@pytest.mark.parametrize("cause", [Cause.NOT_ALLOWED, Cause.REFUSED, Cause.EXPIRED])
def test_an_event_that_fails_after_it_was_labeled_keeps_its_pictures(queue: TaskQueue, cause: Cause) -> None:
    task_id = label(queue, make_event(1))
    commit(queue, lambda q: q.fail(task_id, cause, "test"))
    assert queue.read_payload(queue.get(task_id)).pictures == make_event(1).pictures


def test_a_poisonous_event_keeps_its_strikes_when_posted_again(tmp_path: Path) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    for _ in range(3):
        commit(queue, lambda q: q.claim())
        crash(queue)
        queue = open_queue(tmp_path)
    assert queue.get(1).cause is Cause.POISON
    accept(queue, make_event(1))
    assert (queue.get(1).strikes, queue.get(1).suspect) == (3, True)
    commit(queue, lambda q: q.claim())
    crash(queue)
    queue = open_queue(tmp_path)
    assert queue.get(1).cause is Cause.POISON, "one more death is enough"
    commit(queue, lambda q: q.redrive(1))
    assert queue.get(1).strikes == 0, "its owner may try again from the start"
    crash(queue)


def test_detects_a_payload_of_another_task(queue: TaskQueue) -> None:
    accept(queue, make_event(1))
    accept(queue, make_event(2))
    place = list(queue.get(2).payload or ())
    commit(queue, lambda q: q.store.table.change(1, {"payload": place}))
    with pytest.raises(DamagedRecordError, match="task 2"):
        queue.read_payload(queue.get(1))


# fail, redrive, drop


def test_a_retried_task_continues_in_its_former_state(queue: TaskQueue) -> None:
    accept(queue, make_event(1))
    commit(queue, lambda q: q.fail(1, Cause.LABELING, "the labeler broke"))
    assert (queue.get(1).cause, queue.get(1).reason) == (Cause.LABELING, "the labeler broke")
    assert claim(queue) is None
    commit(queue, lambda q: q.redrive(1))
    assert claim(queue) == 1
    commit(queue, lambda q: q.labelled(1, REPLY))
    commit(queue, lambda q: q.fail(1, Cause.REFUSED, "404"))
    commit(queue, lambda q: q.redrive(1))
    assert queue.read_reply(take(queue).task) == REPLY


def test_a_failure_has_a_cause_and_a_reason(tmp_path: Path, disk: CountingDisk) -> None:
    told: list[tuple[str, Cause, str]] = []
    queue = open_queue(tmp_path, disk=disk, on_failed=lambda task, cause, reason: told.append((task.id, cause, reason)))
    accept(queue, make_event(1))
    commit(queue, lambda q: q.fail(1, Cause.LABELING, "test"))
    assert told == [("1", Cause.LABELING, "test")]


def test_a_dropped_task_is_gone_and_its_event_may_come_again(queue: TaskQueue) -> None:
    accept(queue, make_event(1))
    commit(queue, lambda q: q.drop(1))
    with pytest.raises(NoSuchTask):
        queue.get(1)
    assert commit(queue, lambda q: q.put(make_event(1)))[:2] == ("2", False)


def test_a_verb_that_does_not_fit_the_state_changes_nothing(queue: TaskQueue) -> None:
    accept(queue, make_event(1))
    task_id = label(queue, make_event(2))
    commit(queue, lambda q: q.fail(task_id, Cause.REFUSED, "404"))
    verbs = [
        lambda q: q.deliveries.done(1),
        lambda q: q.deliveries.retry(1, "503"),
        lambda q: q.redrive(1),
        lambda q: q.labelled(2, REPLY),
        lambda q: q.give_back(2),
        lambda q: q.fail(2, Cause.REFUSED, "again"),
    ]
    before = [dict(document) for document in queue.store.table.tinydb]
    for verb in verbs:
        with pytest.raises(WrongState):
            commit(queue, verb)
    with pytest.raises(NoSuchTask):
        commit(queue, lambda q: q.drop(9))
    assert [dict(document) for document in queue.store.table.tinydb] == before


# the folder


def test_after_a_clean_stop_tinydb_opens_the_snapshot_and_finds_every_task(queue: TaskQueue, tmp_path: Path) -> None:
    for number in range(1, 30):
        accept(queue, make_event(number))
    for number in range(30, 40):
        label(queue, make_event(number))
    commit(queue, lambda q: q.deliveries.done(35))
    queue.close()
    with TinyDB(tmp_path / "state" / "queue.json") as db:
        assert len(db) == 39
        assert db.count(where("state") == "pending") == 29
        assert [task.doc_id for task in db.search(where("state") == "done")] == [35]


def test_tinydbs_queries_work_on_the_live_queue(queue: TaskQueue) -> None:
    for number in range(1, 6):
        accept(queue, make_event(number, camera="back" if number % 2 else "front"))
    commit(queue, lambda q: q.fail(3, Cause.LABELING, "test"))
    assert [task.doc_id for task in queue.store.table.tinydb.search(where("camera") == "back")] == [1, 3, 5]
    commit(queue, lambda q: q.store.table.tinydb.remove((where("camera") == "back") & (where("state") == "failed")))
    assert queue.store.index.counts[State.FAILED] == 0
    assert len(queue.store.table.tinydb) == 4


def test_a_second_queue_on_the_folder_is_refused(queue: TaskQueue, tmp_path: Path) -> None:
    with pytest.raises(StateFolderError, match="in use by another camiohookd"):
        open_queue(tmp_path / "state")


def test_a_restart_finds_everything_unchanged(queue: TaskQueue, tmp_path: Path, clock: HandClock) -> None:
    for number in range(1, 6):
        label(queue, make_event(number))
    commit(queue, lambda q: q.deliveries.done(1))
    commit(queue, lambda q: q.fail(2, Cause.REFUSED, "404"))
    commit(queue, lambda q: q.deliveries.retry(3, "503", 300.0))
    before = {document.doc_id: dict(document) for document in queue.store.table.tinydb}
    counts = dict(queue.store.index.counts)
    queue.close()
    for _ in range(2):
        queue = open_queue(tmp_path / "state", clock=clock)
        assert {document.doc_id: dict(document) for document in queue.store.table.tinydb} == before
        assert {state: queue.store.index.counts[state] for state in counts} == counts
        crash(queue)


def test_cameras_take_turns_unless_strict_order_is_configured(tmp_path: Path) -> None:
    cameras = ["storm"] * 5 + ["quiet"]
    for fair, order in ((True, [1, 6, 2, 3, 4, 5]), (False, [1, 2, 3, 4, 5, 6])):
        queue = open_queue(tmp_path / str(fair), fair=fair)
        for number, camera in enumerate(cameras, 1):
            accept(queue, make_event(number, camera=camera))
        assert [claim(queue) for _ in cameras] == order
        crash(queue)
