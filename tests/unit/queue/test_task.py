"""Convert a task to its stored document and back."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.queue.task import Cause, State, Task
from camiohookd.storage.segments import Place

places = st.builds(Place, st.integers(0), st.integers(0), st.integers(0))
tasks = st.builds(
    Task,
    id=st.integers(1).map(str),
    state=st.sampled_from(State),
    digest=st.text(max_size=8),
    received=st.floats(0, 1e10),
    camera=st.none() | st.text(max_size=8),
    payload=st.none() | places,
    reply=st.none() | places,
    cause=st.none() | st.sampled_from(Cause),
    attempts=st.integers(0),
    in_hand=st.booleans(),
)


@given(tasks)
def test_a_task_is_the_same_after_json(task: Task) -> None:
    document = msgspec.json.decode(msgspec.json.encode(task.to_document()))
    assert Task.from_document(task.id, document) == task


def test_a_document_holds_state_and_non_default_fields_but_not_the_id() -> None:
    assert Task(id="7", digest="d").to_document() == {"digest": "d", "state": "pending"}
