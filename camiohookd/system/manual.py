"""Where the pages of the manual are, for messages that name one."""

from pathlib import Path

_IN_CHECKOUT = Path(__file__).parents[2] / "docs"
_INSTALLED = Path("/usr/share/doc/camiohookd")


def page(name: str) -> str:
    """Return the file of a page such as ``internet.md``: ``docs/internet.md`` in a checkout, else the installed one."""
    return f"docs/{name}" if _IN_CHECKOUT.is_dir() else str(_INSTALLED / name)
