"""What this process asks of the kernel and the C library: keep its memory out of core files, and keep freed memory.

Without `keep_freed_memory` glibc returns large freed buffers to the system and asks for them again, and the kernel
fills each page with zeros when it is first touched. Events bring buffers of half a megabyte and more, again and again:
this was a quarter of the cost of accepting an event. See prctl(2), mallopt(3).
"""

import ctypes
from contextlib import suppress

_PR_SET_DUMPABLE = 4


def forbid_core_files() -> None:
    """From now on no core file is made of this process, and no other one of its user's can look into it.

    Programs that it starts are dumpable again. Does nothing where the system has no such thing.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


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
