"""Pictures that are kept only for the owner, so that they may be deleted to make room for new events.

Those are the pictures of failed events, and of labeled ones until their labels are delivered. Pictures that still have
to be labeled are never among them.
"""

from collections.abc import Mapping

from camiohookd.storage.segments import Place


class KeptPictures:
    """The events whose pictures are kept, and the segment of each. Belongs to the store thread."""

    def __init__(self) -> None:
        self._segments: dict[int, set[int]] = {}  # tasks by segment
        self._failed: dict[int, float] = {}  # when the task failed

    def __len__(self) -> int:
        return sum(map(len, self._segments.values()))

    def add(self, task_id: int, place: Place, failed: float | None = None) -> None:
        """Add a task's pictures; `failed` is when it failed (elapsed seconds), None for a labeled one."""
        self._segments.setdefault(place.segment, set()).add(task_id)
        if failed is not None:
            self._failed[task_id] = failed

    def discard(self, task_id: int, place: Place) -> None:
        """Forget a task's pictures at `place`, if they are known."""
        tasks = self._segments.get(place.segment)
        if tasks is None or task_id not in tasks:
            return
        tasks.remove(task_id)
        self._failed.pop(task_id, None)
        if not tasks:
            del self._segments[place.segment]

    @property
    def in_segment(self) -> Mapping[int, int]:
        """Return the number of these pictures in each segment."""
        return {segment: len(tasks) for segment, tasks in self._segments.items()}

    def oldest(self, freeable: Mapping[int, int], missing: int) -> list[int]:
        """Return the tasks whose pictures must be deleted to free `missing` bytes, or all that can be deleted.

        `freeable` is the size in bytes of each segment that holds nothing else. Pictures of labeled events come first,
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
        """Return a sort key for the youngest event of a segment: labeled events by id, then failed ones by time."""
        failed = self._failed
        return max((each in failed, failed.get(each, each)) for each in self._segments[segment])
