"""Pictures that are kept only for the owner, so that they may be deleted to make room for new events.

Those are the pictures of failed events, and of labelled ones until their labels are delivered. Pictures that still have
to be labelled are never among them.
"""

from collections.abc import Mapping

from camiohookd.storage.segments import Place


class KeptPictures:
    """The events whose pictures are kept, and the segment of each. Belongs to the store thread."""

    def __init__(self) -> None:
        self._segments: dict[int, dict[int, float]] = {}  # times by task, by segment
        self._failed: set[int] = set()

    def __len__(self) -> int:
        return sum(map(len, self._segments.values()))

    def add(self, task_id: int, place: Place, time: float, *, failed: bool) -> None:
        """Add a task's pictures; `time` (elapsed seconds) is when it failed, or when it was put into the queue."""
        self._segments.setdefault(place.segment, {})[task_id] = time
        if failed:
            self._failed.add(task_id)

    def discard(self, task_id: int, place: Place) -> None:
        """Forget a task's pictures at `place`, if they are known."""
        tasks = self._segments.get(place.segment)
        if tasks is None or task_id not in tasks:
            return
        del tasks[task_id]
        self._failed.discard(task_id)
        if not tasks:
            del self._segments[place.segment]

    @property
    def in_segment(self) -> Mapping[int, int]:
        """Return the number of these pictures in each segment."""
        return {segment: len(tasks) for segment, tasks in self._segments.items()}

    def oldest(self, freeable: Mapping[int, int], missing: int) -> list[int]:
        """Return the tasks whose pictures must be deleted to free `missing` bytes, or all that can be deleted.

        `freeable` is the size in bytes of each segment that holds nothing else. Pictures of labelled events come first,
        then the oldest of failed ones.
        """
        chosen: list[int] = []
        for segment in sorted(self._segments.keys() & freeable.keys(), key=self._age):
            if missing <= 0:
                break
            chosen += sorted(self._segments[segment])
            missing -= freeable[segment]
        return chosen

    def _age(self, segment: int) -> tuple[bool, float]:
        return max((task_id in self._failed, time) for task_id, time in self._segments[segment].items())
