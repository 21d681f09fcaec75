"""Whether the disk takes the queue's changes: the one place that knows, from a refusal to the next change it took."""

from camiohookd.errors import StoreUnavailable


class StoreHealth:
    """`trouble` says why the disk refused the last change, None when it took it. Belongs to the store thread."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def refused(self, error: OSError) -> StoreUnavailable:
        """Note that the disk refused a change with `error`; return the error to raise."""
        self.trouble = f"the disk refuses to write: {error}"
        return StoreUnavailable(self.trouble)

    def wrote(self) -> None:
        """Note that the disk took a change."""
        self.trouble = None
