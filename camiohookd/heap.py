"""How the C library keeps memory that was freed: events bring buffers of half a megabyte and more, again and again.

As it is, glibc gives such buffers back to the system and gets them anew, and the system fills each page with zeros as
it is touched: a quarter of all that taking an event cost. mallopt(3) names the settings.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
KEPT_BYTES = 16 * 1024 * 1024
"""What may lie free at the end of a heap."""

LARGE_BYTES = 8 * 1024 * 1024
"""From here on a buffer comes from the system and goes back there. A decoded picture and a model's input, which come
and go with every picture, are smaller: 1 MB of the model that is shipped, 5 MB of one that looks at 640 x 640."""

HEAPS = 2
"""Fewer than there are threads, since each keeps its own free memory."""


def keep_freed_memory() -> None:
    """To be called once, before there are threads; does nothing where the C library has no such settings."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_ARENA_MAX, HEAPS)


def give_freed_memory_back() -> None:
    """All of it, once: what the start has needed and the rest of the run does not (malloc_trim(3))."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
