"""What is learned from features: regression, honest probabilities, left-out examples, what is unknown."""

import numpy as np
import pytest

from camiohookd.labelers.taught.calibration import temperature
from camiohookd.labelers.taught.learning import Examples, learn
from camiohookd.labelers.taught.regression import balanced, fit, log_softmax, minimize, softmax, span
from camiohookd.labelers.taught.unknown import beyond_all, beyond_most

RANDOM = np.random.default_rng(7)


def clouds(count: int, labels: int = 3, length: int = 12, spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` points of length 1 around the center of each label, and their labels."""
    random = np.random.default_rng(1)
    centers = random.normal(size=(labels, length))
    points = np.repeat(centers, count, axis=0) + spread * random.normal(size=(labels * count, length))
    return points / np.linalg.norm(points, axis=1)[:, None], np.repeat(np.arange(labels), count)


def test_the_fit_is_the_minimum_of_the_penalized_loss() -> None:
    points, labels = clouds(9)
    weights, _, converged = fit(points, labels, 3, 0.05)
    assert converged

    def loss(factors: np.ndarray, shifts: np.ndarray) -> float:
        logarithms = log_softmax(points @ factors + shifts)[np.arange(len(labels)), labels]
        return float(-balanced(labels, 3) @ logarithms + 0.025 * (factors**2).sum())

    least = loss(*weights)
    for _ in range(50):
        step = 1e-3 * RANDOM.normal(size=weights.factors.shape)
        assert loss(weights.factors + step, weights.shifts) > least
        assert loss(weights.factors, weights.shifts + 1e-2 * np.array([1.0, -1.0, 0.0])) > least


def test_a_label_with_few_examples_weighs_as_much_as_one_with_many() -> None:
    points, labels = clouds(20, labels=2, spread=0.0)
    few = np.r_[0:20, 20:22]
    weights, _, _ = fit(points[few], labels[few], 2, 0.05)
    first, second = softmax(weights.logits(points[[0, 20]]))[[0, 1], [0, 1]]
    assert first == pytest.approx(second, abs=1e-3)


def test_more_features_than_examples_are_fitted_in_their_span_with_the_same_result() -> None:
    points, labels = clouds(5, labels=2, length=40)
    basis, inner = span(points)
    assert inner.shape == (10, 10)
    direct, rotated = fit(points, labels, 2, 0.1).weights, fit(inner, labels, 2, 0.1).weights
    np.testing.assert_allclose(basis @ rotated.factors, direct.factors, atol=1e-4)


def test_a_quadratic_function_is_minimized() -> None:
    scales = np.array([1.0, 30.0, 900.0])
    place, _, converged = minimize(lambda x: (float(scales @ (x - 1) ** 2) / 2, scales * (x - 1)), np.zeros(3))
    assert converged
    np.testing.assert_allclose(place, 1.0, atol=1e-5)


def test_probabilities_are_made_as_certain_as_the_examples_allow() -> None:
    labels = np.repeat([0, 1], 200)
    sure = np.where(labels[:, None] == [0, 1], 8.0, -8.0)
    wrong = sure.copy()
    wrong[::5] *= -1  # a fifth is wrong, though its logits are as far apart
    for logits, right in ((sure, 201 / 202), (wrong, 0.8)):
        told = softmax(logits / temperature(logits, labels))
        assert told.max(axis=1).mean() == pytest.approx(right, abs=0.03)


def test_few_right_examples_do_not_make_a_probability_of_one() -> None:
    logits, labels = np.array([[9.0, -9.0], [-9.0, 9.0]]), np.array([0, 1])
    assert np.max(softmax(logits / temperature(logits, labels))) == pytest.approx(2 / 3, abs=0.01)


def test_near_copies_of_one_event_do_not_flatter_the_result() -> None:
    random = np.random.default_rng(3)
    scenes = random.normal(size=(10, 30))  # the label has nothing to do with the scene
    labels = np.repeat(random.permutation(np.repeat([0, 1], 5)), 8)
    features = (np.repeat(scenes, 8, axis=0) + 0.01 * random.normal(size=(80, 30)))[:, None]

    def right(events: np.ndarray) -> float:
        lesson = learn(Examples(features, labels, events), 2, beyond_all)
        best = [verdict.label == label for verdict, label in zip(lesson.left_out, labels, strict=True) if verdict]
        return float(np.mean(best))

    assert right(np.arange(80)) > 0.9
    assert right(np.repeat(np.arange(10), 8)) < 0.7


def test_a_label_with_one_event_cannot_be_judged() -> None:
    points, labels = clouds(4, labels=2)
    lesson = learn(Examples(points[:, None], labels, np.array([0, 1, 2, 3, 4, 4, 4, 4])), 2, beyond_all)
    assert [verdict is None for verdict in lesson.left_out] == [False] * 4 + [True] * 4


def test_what_is_unlike_all_examples_is_unknown() -> None:
    points, labels = clouds(8)
    learned = learn(Examples(points[:, None], labels, np.arange(24)), 3, beyond_all).learned
    assert [learned.verdict(each).label for each in points] == labels.tolist()
    assert learned.verdict(-points[0]).label is None
    between = points[0] + points[8]
    assert learned.verdict(between / np.linalg.norm(between)).label is None


def test_kinds_give_up_a_tenth_of_their_examples_if_there_are_enough() -> None:
    distances = np.linspace(0.2, 0.39, 20)
    assert beyond_most(RANDOM.permutation(distances)) == pytest.approx(0.38)
    assert beyond_most(distances[:9]) == pytest.approx(distances[8])
    assert [beyond_most(distances[:count]) for count in (18, 19)] == pytest.approx([distances[17]] * 2)
    assert beyond_most(distances[:8]) == beyond_all(distances[:8]) > distances[7]
    assert beyond_most(np.full(20, np.inf)) == beyond_all(np.full(20, np.inf))
