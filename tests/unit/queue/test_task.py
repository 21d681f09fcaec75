"""A task and the document it is stored as."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.queue.task import Cause, State, Task
from camiohookd.storage.segments import Place
from camiohookd.wire.reply import Label, Reply

polygons = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4).map(tuple)
labels = st.dictionaries(st.text(max_size=5), st.builds(Label, st.floats(0, 1), polygons), max_size=2)
replies = st.builds(
    Reply, st.dictionaries(st.text(max_size=9), labels, max_size=2) | st.lists(st.text(max_size=5), max_size=3)
)
tasks = st.builds(
    Task,
    id=st.integers(1).map(str),
    state=st.sampled_from(State),
    digest=st.text(max_size=8),
    received=st.floats(0, 1e10),
    camera=st.none() | st.text(max_size=8),
    payload=st.none() | st.builds(Place, st.integers(0), st.integers(0), st.integers(0)),
    reply=st.none() | replies,
    cause=st.none() | st.sampled_from(Cause),
    attempts=st.integers(0),
    in_hand=st.booleans(),
)


@given(tasks)
def test_a_task_comes_back_from_json_as_it_was(task: Task) -> None:
    document = msgspec.json.decode(msgspec.json.encode(task.to_document()))
    assert Task.from_document(task.id, document) == task


def test_a_document_holds_the_state_and_what_is_not_the_default_but_not_the_id() -> None:
    assert Task(id="7", digest="d").to_document() == {"digest": "d", "state": "pending"}
