"""Multinomial logistic regression with a quadratic penalty, fitted to convergence.

The loss is the weighted mean of -log softmax(x W + b)[label] plus strength / 2 times the sum of W squared; b is not
penalized (Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.4). It is convex, so there is one
minimum, and a start at zero always ends at the same place. The minimum is found with L-BFGS (Liu and Nocedal, On the
limited memory BFGS method, Mathematical Programming 45, 1989) and a backtracking line search.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]

MEMORY = 10
"""Pairs of steps that L-BFGS remembers."""

MAX_STEPS = 500
TOLERANCE = 1e-6
"""The fit has converged when no component of the gradient is larger."""

_SUFFICIENT = 1e-4  # Armijo's condition
_SHORTEST = 1e-12


class Weights(NamedTuple):
    """A fitted regression: `factors` [features, labels] and `shifts` [labels]."""

    factors: Doubles
    shifts: Doubles

    def logits(self, features: Doubles) -> Doubles:
        """Return [n, labels] for features [n, features]."""
        return np.asarray(features @ self.factors + self.shifts, np.float64)


class Fit(NamedTuple):
    """A result of `fit`: the weights, how many steps it took, and whether it converged."""

    weights: Weights
    steps: int
    converged: bool


def fit(features: Doubles, labels: Indices, count: int, strength: float) -> Fit:
    """Fit a regression to features [n, d] with labels [n] in 0..count-1; each label weighs as much as any other."""
    weights = balanced(labels, count)
    size = features.shape[1] * count
    examples = np.arange(len(labels))

    def loss(values: Doubles) -> tuple[float, Doubles]:
        factors, shifts = values[:size].reshape(-1, count), values[size:]
        logarithms = log_softmax(features @ factors + shifts)
        errors = np.exp(logarithms)
        errors[examples, labels] -= 1
        errors *= weights[:, None]
        value = -weights @ logarithms[examples, labels] + strength / 2 * (factors**2).sum()
        gradient = np.concatenate([(features.T @ errors + strength * factors).ravel(), errors.sum(axis=0)])
        return float(value), gradient

    values, steps, converged = minimize(loss, np.zeros(size + count))
    return Fit(Weights(values[:size].reshape(-1, count), values[size:]), steps, converged)


def balanced(labels: Indices, count: int) -> Doubles:
    """Return the weight of each example, such that every label has the same sum and all together have 1."""
    numbers = np.bincount(labels, minlength=count)
    return np.asarray(1.0 / (numbers[labels] * np.count_nonzero(numbers)), np.float64)


def log_softmax(logits: Doubles) -> Doubles:
    """Return the logarithm of the softmax along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float64)


def softmax(logits: Doubles) -> Doubles:
    """Return the softmax along the last axis."""
    return np.asarray(np.exp(log_softmax(logits)), np.float64)


def span(features: Doubles) -> tuple[Doubles, Doubles]:
    """Return an orthonormal basis [d, r] of features [n, d], and the features in it [n, r], r = min(n, d).

    The minimum for any of the features lies in their span, so it may be searched there, which is faster.
    """
    if features.shape[0] >= features.shape[1]:
        return np.eye(features.shape[1]), features
    basis, inner = np.linalg.qr(features.T)
    return np.asarray(basis, np.float64), np.asarray(inner.T, np.float64)


def minimize(loss: Callable[[Doubles], tuple[float, Doubles]], start: Doubles) -> tuple[Doubles, int, bool]:
    """Minimize a convex function, given as value and gradient; return the place, the steps, whether it converged."""
    values, steps_taken = start, 0
    value, gradient = loss(values)
    moves: list[tuple[Doubles, Doubles, float]] = []
    while np.abs(gradient).max() > TOLERANCE:
        if steps_taken == MAX_STEPS:
            return values, steps_taken, False
        direction = -_newton_like(gradient, moves)
        slope = float(gradient @ direction)
        length = 1.0 if moves else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        while True:
            tried = values + length * direction
            new_value, new_gradient = loss(tried)
            if new_value <= value + _SUFFICIENT * length * slope:
                break
            length /= 2
            if length < _SHORTEST:  # as exact as the numbers are
                return values, steps_taken, bool(np.abs(gradient).max() < 100 * TOLERANCE)
        move, change = tried - values, new_gradient - gradient
        if (curvature := float(move @ change)) > 0:
            moves = [*moves[1 - MEMORY :], (move, change, curvature)]
        values, value, gradient = tried, new_value, new_gradient
        steps_taken += 1
    return values, steps_taken, True


def _newton_like(gradient: Doubles, moves: list[tuple[Doubles, Doubles, float]]) -> Doubles:
    """Return the gradient times L-BFGS's estimate of the inverse Hessian (the two-loop recursion)."""
    result = gradient.copy()
    shares = []
    for move, change, curvature in reversed(moves):
        share = float(move @ result) / curvature
        result -= share * change
        shares.append(share)
    if moves:
        _, change, curvature = moves[-1]
        result *= curvature / float(change @ change)
    for (move, change, curvature), share in zip(moves, reversed(shares), strict=True):
        result += (share - float(change @ result) / curvature) * move
    return result
