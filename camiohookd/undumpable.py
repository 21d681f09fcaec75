"""A process whose memory holds secrets, kept out of core files: `forbid` once, at the very start (prctl(2))."""

import ctypes

_PR_SET_DUMPABLE = 4


def forbid() -> None:
    """From now on no core file is made of this process, and no other one of its user's can look into it.

    Programs that it starts are dumpable again. Does nothing where the system has no such thing.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
