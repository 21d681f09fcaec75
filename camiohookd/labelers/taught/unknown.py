"""Decide when a picture is unknown: its best label is improbable, or it is unlike all examples.

The measure is the distance to the nearest example. The bound comes from the examples themselves: the distance of each
one to the nearest one of another event (nearest-neighbor novelty detection: Tax, One-class classification, thesis, TU
Delft 2001, 3.4.2). Pictures of a zone look much the same, so their bound lies beyond the farthest example. Objects of a
kind differ, and a few odd ones would put that bound where nearly everything is within it: theirs gives up a part.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from camiohookd.labelers.taught.regression import Doubles, Indices

CERTAIN = 0.6
"""The least probability that is reported."""

_DEVIATIONS = 3.5
"""How many standard deviations above the mean distance of the examples a picture may be; the farthest may anyway."""

_GIVEN_UP = 0.1
"""The part of the examples of kinds, the oddest ones, that may be farther than the bound."""

_NEAREST = 0.15
"""The least bound, for examples that are nearly the same. Features have the length 1; distances are 0 to 2."""


Bound = Callable[[Doubles], float]
"""From the examples' own distances [n] to how far from the nearest example a picture may be: one of the two below."""


class Decision(NamedTuple):
    """What a picture shows: the label's index, None if unknown; the probability of the likeliest one; the distance."""

    label: int | None
    probability: float
    distance: float


def verdict(probabilities: Doubles, distance: float, farthest: float) -> Decision:
    """Decide for one picture with the given `probabilities` [labels]."""
    best = int(np.argmax(probabilities))
    known = probabilities[best] >= CERTAIN and distance <= farthest
    return Decision(best if known else None, float(probabilities[best]), distance)


def nearest(features: Doubles, examples: Doubles) -> Doubles:
    """Return the distance [n] of each of features [n, d] to the nearest of examples [m, d]; infinite if m is 0."""
    if not len(examples):
        return np.full(len(features), np.inf)
    squares = (features**2).sum(axis=1)[:, None] + (examples**2).sum(axis=1) - 2 * features @ examples.T
    return np.asarray(np.sqrt(squares.min(axis=1).clip(0)), np.float64)


def nearest_of_others(features: Doubles, events: Indices) -> Doubles:
    """Return the distance [n] of each example as it is to the nearest one, in any variation, of another event.

    `features` are [n, variations, d], `events` [n]. The distance is infinite if there is no other event.
    """
    length = features.shape[2]
    others = (features[events != event].reshape(-1, length) for event in events)
    return np.array([nearest(each[:1], other)[0] for each, other in zip(features, others, strict=True)])


def beyond_all(distances: Doubles) -> float:
    """Return the bound for a zone, from the examples' own distances [n]."""
    finite = distances[np.isfinite(distances)]
    if not len(finite):
        return _NEAREST
    return max(float(finite.mean() + _DEVIATIONS * finite.std()), float(np.max(finite)), _NEAREST)


def beyond_most(distances: Doubles) -> float:
    """Return the bound for kinds of objects, from the examples' own distances [n].

    It is the conformal quantile: another object like the examples is within it with a probability of at least
    1 - `_GIVEN_UP` (Angelopoulos, Bates: A Gentle Introduction to Conformal Prediction, arXiv:2107.07511, 4.4). It
    needs nine examples; of fewer the bound is that of `beyond_all`.
    """
    finite = np.sort(distances[np.isfinite(distances)])
    rank = math.ceil((len(finite) + 1) * (1 - _GIVEN_UP))
    return max(float(finite[rank - 1]), _NEAREST) if rank <= len(finite) else beyond_all(distances)
