"""The index follows every change of the documents, and every undo."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.queue.delivery_schedule import DeliverySchedule
from camiohookd.queue.index import TaskIndex, host_of
from camiohookd.storage.documents import Documents
from camiohookd.storage.segments import SegmentFolder, Segments
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import backoff

Document = dict[str, Any]

payloads = st.sampled_from([1, 2]).map(lambda segment: [segment, 0, 40])
waiting = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["pending", "labelled"]),
        "callback_url": st.sampled_from(["https://a/1", "https://b/1"]),
        "since": st.integers(0, 5),
    },
    optional={"in_hand": st.just(True), "suspect": st.just(True), "payload": payloads, "reply": payloads},
)
ended = st.fixed_dictionaries(
    {"state": st.sampled_from(["done", "failed"]), "ended": st.integers(0, 5)},
    optional={"payload": payloads, "reply": payloads},
)
changes = st.lists(st.tuples(st.integers(1, 5), st.none() | waiting | ended), max_size=30)


@given(script=changes)
def test_after_any_changes_the_index_equals_a_rebuilt_one(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[int, Document | None]]
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    index, documents = new_index(folder), dict[int, Document]()
    for number, after in script:
        after = after and {**after, "digest": f"digest {number}"}
        for field in ("payload", "reply"):
            if after and field in after:
                after[field] = [after[field][0], 40 * number, 40]  # no two tasks share a place
        index.observe(number, documents.get(number), after)
        documents.pop(number, None)
        if after is not None:
            documents[number] = after
    fresh = new_index(folder)
    for number in sorted(documents):
        fresh.observe(number, None, documents[number])
    filled = new_index(folder)
    filled.fill(Documents({str(number): document for number, document in documents.items()}))
    assert facts(index) == facts(fresh) == facts(filled)


def new_index(folder: Path) -> TaskIndex:
    segments, replies = (Segments(SegmentFolder(folder / name, name, b"TEST"), CountingDisk()) for name in ("s", "r"))
    return TaskIndex(segments, replies, DeliverySchedule(backoff))


def facts(index: TaskIndex) -> dict[str, Any]:
    """Return all facts that the index can give."""
    due = []
    while (task_id := index._deliveries.take(0.0)) is not None:
        index._deliveries.remove(task_id)
        index._deliveries.landed(task_id, 0.0, success=True)
        due.append(task_id)
    return {
        "counts": {state: count for state, count in index.counts.items() if count},
        "ids": [list(ids.after(0)) for ids in (index.waiting, index.suspects)],
        "claimable": sorted(task_id for ids in index.claimable._ids.values() for task_id in ids.after(0)),
        "in hand": (index.in_hand, index.suspects_in_hand),
        "digests": index._by_digest,
        "timed": [list(ids) for ids in (index.by_age, *index.ended.values())],
        "kept": [index.kept_pictures._segments, index.kept_pictures._failed],
        "segments": (index._segments._needed, index._replies._needed),
        "due": sorted(due),
    }


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://Camio.com/x?y", "camio.com"), ("http://127.0.0.1:9000/cb", "127.0.0.1:9000"), ("https://a:1", "a:1")],
)
def test_schedules_deliveries_by_host_and_port(url: str, host: str) -> None:
    assert host_of(url) == host
