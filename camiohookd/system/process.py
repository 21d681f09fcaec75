"""Settings of the kernel and the C library for this process: no core files, and reuse of freed memory.

Without `keep_freed_memory`, glibc returns large freed buffers to the system and requests them again, and the kernel
fills each page with zeros at its first use. Each event needs buffers of half a megabyte and more: this was a quarter of
the cost of accepting an event. See prctl(2), mallopt(3).
"""

import ctypes
from contextlib import suppress

_PR_SET_DUMPABLE = 4


def forbid_core_files() -> None:
    """Prevent core files of this process, and access to its memory by other processes of its user.

    Programs that it starts are dumpable again. Does nothing if the system lacks prctl.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


KEPT_BYTES = 16 * 1024 * 1024
"""Free bytes at the end of a heap that are not returned to the system."""


LARGE_BYTES = 8 * 1024 * 1024
"""Buffers of this size or more come from the system and return to it. The buffers of every picture (decoded pixels, the
model's input) are smaller: 1 MB for the shipped model, 5 MB for one with an input of 640 x 640."""


HEAPS = 2
"""Number of heaps: fewer than threads, because each heap keeps its own free memory."""


def keep_freed_memory() -> None:
    """Keep freed memory for reuse. Call this once, before threads start. Without mallopt, it does nothing."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_ARENA_MAX, HEAPS)


def give_freed_memory_back() -> None:
    """Return the free memory that only the start needed to the system, once (malloc_trim(3))."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
