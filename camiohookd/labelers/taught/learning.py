"""Features with labels ─▶ a classifier, and what it says of examples that it did not know.

Each event is left out in turn, with all its variations: pictures of one event are nearly copies of each other, and
would make the result look better than it is.
"""

from typing import NamedTuple

import numpy as np

from camiohookd.labelers.taught import calibration, unknown
from camiohookd.labelers.taught.regression import Doubles, Indices, Weights, fit, softmax, span
from camiohookd.labelers.taught.unknown import Bound, Decision

STRENGTH = 0.01
"""The strength of the penalty, for features that are centered and have the mean length 1."""

MAX_FOLDS = 200
"""With more events, several are left out at a time."""


class Examples(NamedTuple):
    """`features` [n, variations, d], the first variation is the picture as it is; `labels` [n]; `events` [n].

    Examples of one event have the same number in `events`.
    """

    features: Doubles
    labels: Indices
    events: Indices


class Learned(NamedTuple):
    """A classifier.

    `weights` give logits whose softmax is a calibrated probability; a picture farther than `farthest` from the nearest
    of `examples` [n, d], which are all variations, is unknown.
    """

    weights: Weights
    temperature: float
    examples: Doubles
    farthest: float

    def verdict(self, features: Doubles) -> Decision:
        """Say what a picture with features [d] shows."""
        probabilities = softmax(self.weights.logits(features[None]))[0]
        return unknown.verdict(probabilities, float(unknown.nearest(features[None], self.examples)[0]), self.farthest)


class Lesson(NamedTuple):
    """`left_out` is what is said of each example by a fit without its event; None if its label had no other event."""

    learned: Learned
    left_out: tuple[Decision | None, ...]
    converged: bool


def learn(examples: Examples, count: int, bound: Bound) -> Lesson:
    """Fit a classifier of `count` labels to examples, and judge it on each of them.

    `bound` says how far from them a picture may be.
    """
    flat = examples.features.reshape(-1, examples.features.shape[2])
    basis, inner = span(flat)
    inner = inner.reshape(*examples.features.shape[:2], -1)
    logits, judged = _left_out(inner, examples.labels, examples.events, count)
    temperature = calibration.temperature(logits[judged], examples.labels[judged])
    weights, converged = _fit(inner, examples.labels, count)
    distances = unknown.nearest_of_others(examples.features, examples.events)
    farthest = bound(distances)
    learned = Learned(
        Weights(basis @ weights.factors / temperature, weights.shifts / temperature), temperature, flat, farthest
    )
    probabilities = softmax(logits / temperature)
    said = (
        unknown.verdict(probabilities[nth], float(distances[nth]), farthest) if judged[nth] else None
        for nth in range(len(judged))
    )
    return Lesson(learned, tuple(said), converged)


def _left_out(
    features: Doubles, labels: Indices, events: Indices, count: int
) -> tuple[Doubles, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """Return the logits [n, count] of each example without its event, and for which [n] there are logits.

    An example cannot be judged if no other event shows its label.
    """
    logits, judged = np.zeros((len(labels), count)), np.zeros(len(labels), np.bool_)
    folds = np.unique(events, return_inverse=True)[1].reshape(-1) % MAX_FOLDS
    for fold in range(int(np.max(folds, initial=-1)) + 1):
        out = folds == fold
        kept = np.unique(labels[~out])
        judged[out] = np.isin(labels[out], kept)
        if len(kept) == count:
            weights, _ = _fit(features[~out], labels[~out], count)
            logits[out] = weights.logits(features[out, 0])
        else:
            judged[out] = False
    return logits, judged


def _fit(features: Doubles, labels: Indices, count: int) -> tuple[Weights, bool]:
    """Fit to features [n, variations, r], centered and scaled for the fit; the weights are for features as given."""
    flat = features.reshape(-1, features.shape[2])
    center = flat.mean(axis=0)
    scale = float(np.sqrt(((flat - center) ** 2).sum(axis=1).mean())) or 1.0
    (factors, shifts), _, converged = fit(
        (flat - center) / scale, np.repeat(labels, features.shape[1]), count, STRENGTH
    )
    return Weights(factors / scale, shifts - center @ factors / scale), converged
