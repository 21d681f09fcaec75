"""Choose the event to label next: the cameras take turns, and each camera's events keep their order.

The camera that was served last goes behind all others that wait, also behind those that arrive now. So a storm of one
camera delays another camera's event only by the events that are already in hand, and every camera gets its turn.
"""

from camiohookd.queue.sorted_ids import OrderedIds


class CameraTurns:
    """Ids of tasks that wait to be labeled. Belongs to the store thread.

    If `fair` is false, all cameras count as one, so that only the order of the ids decides.
    """

    def __init__(self, *, fair: bool = True) -> None:
        self._fair = fair
        self._ids: dict[str, OrderedIds] = {}  # by camera; none is empty
        self._turns: dict[str, None] = {}  # the cameras that have ids, in the order of their turns, without `_served`
        self._served: str | None = None  # the camera that had the last turn
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, task_id: int, camera: str) -> None:
        """Add a new id."""
        key = camera if self._fair else ""
        if key not in self._ids:
            self._ids[key] = OrderedIds()
            if key != self._served:
                self._turns[key] = None
        self._ids[key].add(task_id)
        self._count += 1

    def discard(self, task_id: int, camera: str) -> None:
        """Remove an id if it is present; `camera` is the one that it was added with."""
        key = camera if self._fair else ""
        ids = self._ids.get(key)
        if ids is None or task_id not in ids:
            return
        ids.discard(task_id)
        self._count -= 1
        if not ids:
            del self._ids[key]
            self._turns.pop(key, None)

    def next(self, *, newest_first: bool) -> int | None:
        """Return the next id, None if there is none. Call `end_turn` after taking it."""
        camera = next(iter(self._turns), self._served)
        ids = None if camera is None else self._ids.get(camera)
        if ids is None:
            return None
        return ids.last() if newest_first else ids.first()

    def end_turn(self, camera: str) -> None:
        """Put `camera` behind all others."""
        key = camera if self._fair else ""
        if self._served in self._ids:
            self._turns[self._served] = None
        self._turns.pop(key, None)
        self._served = key
