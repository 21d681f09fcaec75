"""Know whether the disk stores the queue's changes, from a failed change until the next successful one."""

from camiohookd.errors import StoreUnavailable


class StoreHealth:
    """`trouble` is the reason why the last change failed, None if it succeeded. Belongs to the store thread."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def refused(self, error: OSError) -> StoreUnavailable:
        """Note that a change failed with `error`; return the error to raise."""
        self.trouble = f"the disk refuses to write: {error}"
        return StoreUnavailable(self.trouble)

    def wrote(self) -> None:
        """Note that a change succeeded."""
        self.trouble = None
