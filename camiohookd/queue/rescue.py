"""Restore tasks that the journal or the snapshot has lost from their records in the segments.

A crash may cut the newest changes off the journal, because an accepted or labeled event waits only for its record to
be durable. Damage can lose any document, see `LostIds`. A task is restored from either of its records: that of its
pictures, or that of its labels, which has everything that a delivery needs.
"""

import logging
from collections.abc import Iterator

from camiohookd.queue.store import QueueStore
from camiohookd.queue.task import State, Task
from camiohookd.storage import payload_record, reply_record
from camiohookd.storage.record import DamagedRecordError
from camiohookd.storage.segments import Place, Segments
from camiohookd.system.log_fields import about
from camiohookd.wire.reply import summary

log = logging.getLogger("camiohookd.queue")


def rescue(store: QueueStore) -> set[int]:
    """Restore every task that exists only as a record; the caller commits. Raises OSError.

    Returns the tasks whose labels were found, but not whether they were delivered.
    """
    known = store.table.last_id
    labelled = _rescue_replies(store, known)
    _rescue_payloads(store, known, labelled)
    return labelled


def _rescue_replies(store: QueueStore, known: int) -> set[int]:
    """Only the newest segment that the journal knows can hold unknown tasks: a new segment syncs the journal."""
    found: set[int] = set()
    for number in _searched(store, store.records.replies):
        journal_knows, before = False, len(found)
        for place, head in store.records.replies.files.heads(number):
            store.table.reserve_ids(head.task_id + 1)
            document = store.table.document(head.task_id)
            if document is None:
                if not _is_lost(store, head.task_id, known):
                    journal_knows = True
                elif _insert_labelled(store, place):
                    found.add(head.task_id)
            elif document["state"] == State.PENDING:
                if _label(store, place):
                    found.add(head.task_id)
            else:
                journal_knows |= document["state"] == State.DONE or document.get("reply") == list(place)
        if len(found) > before:
            store.records.replies.make_durable(number)
        if journal_knows and not store.table.lost_ids:
            break
    return found


def _rescue_payloads(store: QueueStore, known: int, labelled: set[int]) -> None:
    """Restore tasks from records of pictures. Without damage, only the newest segments can hold unknown ids.

    Tasks that were restored from their labels get their pictures back, too.
    """
    for number in _searched(store, store.records.payloads):
        oldest, rescued = known + 1, False
        for place, head in store.records.payloads.files.heads(number):
            oldest = min(oldest, head.task_id)
            store.table.reserve_ids(head.task_id + 1)
            if head.task_id not in store.table and _is_lost(store, head.task_id, known):
                rescued |= _insert_pending(store, place)
            elif head.task_id in labelled and store.table.get(head.task_id).payload is None:
                store.table.change(head.task_id, {"payload": list(place)})
                rescued = True
        if rescued:
            store.records.payloads.make_durable(number)
        if oldest <= known and not store.table.lost_ids:
            return


def _searched(store: QueueStore, segments: Segments) -> Iterator[int]:
    """Yield the numbers of the segments, newest first, and report the progress."""
    numbers = segments.newest_first()
    for count, number in enumerate(numbers):
        store.progress.report(f"searching {segments.files.folder.name} for lost events", count, len(numbers))
        yield number


def _is_lost(store: QueueStore, task_id: int, known: int) -> bool:
    return task_id > known or task_id in store.table.lost_ids


def _insert_pending(store: QueueStore, place: Place) -> bool:
    try:
        payload = payload_record.decode(store.records.payloads.files.read(place))
    except DamagedRecordError:
        return False
    if store.index.with_digest(payload.meta["digest"]) is not None:
        return False
    rest = payload.meta["rest"]
    camera, user_id = rest.get("camera"), rest.get("user_id")
    task = Task(
        digest=payload.meta["digest"],
        received=payload.meta["received"],
        since=store.elapsed.now(),
        images=len(payload.pictures),
        camera=camera if isinstance(camera, str) else None,
        user_id=user_id if isinstance(user_id, str) else None,
        callback_url=rest["callback_url"],
        payload=place,
    )
    store.table.insert(payload.task_id, task)
    log.warning(
        "task %d was missing from the journal; its pictures are whole: it will be labeled",
        payload.task_id,
        extra=about("task_rescued", task=payload.task_id),
    )
    return True


def _insert_labelled(store: QueueStore, place: Place) -> bool:
    stored = _read_reply(store, place)
    if stored is None or store.index.with_digest(stored.facts["digest"]) is not None:
        return False
    task = Task(
        state=State.LABELLED, since=store.elapsed.now(), reply=place, labels=summary(stored.reply), **stored.facts
    )
    store.table.insert(stored.task_id, task)
    log.warning(
        "task %d was missing from the journal; its labels are whole: they will be delivered",
        stored.task_id,
        extra=about("task_rescued", task=stored.task_id),
    )
    return True


def _label(store: QueueStore, place: Place) -> bool:
    """Give a pending task the labels that it had before the crash."""
    stored = _read_reply(store, place)
    if stored is None:
        return False
    store.table.mark_labelled(stored.task_id, place, summary(stored.reply))
    log.info(
        "task %d was labeled when the last run ended: its labels will be delivered",
        stored.task_id,
        extra=about("task_rescued", task=stored.task_id),
    )
    return True


def _read_reply(store: QueueStore, place: Place) -> reply_record.StoredReply | None:
    try:
        return reply_record.decode(store.records.replies.files.read(place))
    except DamagedRecordError:
        return None
