"""Calibrate probabilities: find a temperature for the logits on examples that were left out of the fit.

Temperature scaling is of Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017. A few
examples that are all right would make any probability 1: as in Platt's method (Probabilistic Outputs for Support Vector
Machines, 1999), the wanted probability of n examples of a label is therefore (n + 1) / (n + 2), not 1.
"""

import numpy as np

from camiohookd.labelers.taught.regression import Doubles, Indices, balanced, log_softmax

_LOWEST, _HIGHEST = 0.02, 50.0
_STEPS = 60
_GOLDEN = (5**0.5 - 1) / 2


def temperature(logits: Doubles, labels: Indices) -> float:
    """Return what to divide logits by; 1.0 if there are none.

    `logits` [n, labels] are of examples that the fit did not know; `labels` [n] are theirs. The cross-entropy has one
    minimum over the inverse temperature, which golden-section search finds.
    """
    if not len(logits):
        return 1.0
    count = logits.shape[1]
    wanted = _wanted(labels, count)
    weights = balanced(labels, count)

    def loss(logarithm: float) -> float:
        return -float(weights @ (wanted * log_softmax(logits / np.exp(logarithm))).sum(axis=1))

    low, high = np.log(_LOWEST), np.log(_HIGHEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def _wanted(labels: Indices, count: int) -> Doubles:
    """Return the wanted probabilities [n, labels]; what an example's own label leaves is shared by the others."""
    numbers = np.bincount(labels, minlength=count)[labels]
    own = (numbers + 1) / (numbers + 2)
    wanted = np.repeat(((1 - own) / (count - 1))[:, None], count, axis=1)
    wanted[np.arange(len(labels)), labels] = own
    return np.asarray(wanted, np.float64)
