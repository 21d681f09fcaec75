"""Pictures that are kept only for the owner, so that they may be deleted to make room for new events.

Those are the pictures of failed events, and of labelled ones until their labels are delivered. Pictures that still have
to be labelled are never among them.
"""

from collections import Counter
from collections.abc import Mapping

from camiohookd.storage.segments import Place


class KeptPictures:
    """The events whose pictures are kept, and the segment of each. Belongs to the store thread."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}  # segment by task
        self._ages: dict[int, tuple[bool, float]] = {}  # (whether failed, time) by task; the smallest is deleted first
        self._in_segment: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, task_id: int, place: Place, time: float, *, failed: bool) -> None:
        """Add a task's pictures; `time` (elapsed seconds) is when it failed, or when it was put into the queue."""
        self._places[task_id] = place.segment
        self._ages[task_id] = (failed, time)
        self._in_segment[place.segment] += 1

    def discard(self, task_id: int) -> None:
        """Forget a task's pictures, if they are known."""
        segment = self._places.pop(task_id, None)
        if segment is not None:
            del self._ages[task_id]
            self._in_segment[segment] -= 1
            if not self._in_segment[segment]:
                del self._in_segment[segment]

    @property
    def in_segment(self) -> Mapping[int, int]:
        """Return the number of these pictures in each segment."""
        return self._in_segment

    def oldest(self, freeable: Mapping[int, int], missing: int) -> list[int]:
        """Return the tasks whose pictures must be deleted to free `missing` bytes, or all that can be deleted.

        `freeable` is the size in bytes of each segment that holds nothing else. Pictures of labelled events come first,
        then the oldest of failed ones.
        """
        tasks: dict[int, list[int]] = {}
        for task_id, segment in self._places.items():
            if segment in freeable:
                tasks.setdefault(segment, []).append(task_id)
        chosen: list[int] = []
        for segment in sorted(tasks, key=lambda each: max(self._ages[task_id] for task_id in tasks[each])):
            if missing <= 0:
                break
            chosen += sorted(tasks[segment])
            missing -= freeable[segment]
        return chosen
