from __future__ import annotations

import numpy as np

from classifiers.train.logistic import fit, probabilities


def test_separates_what_can_be_separated() -> None:
    """A feature that tells the classes apart is found, with the sign of the class."""
    chance = np.random.default_rng(3)
    features = chance.normal(size=(200, 4))
    targets = (features[:, 1] > 0).astype(np.float64)
    weights, bias = fit(features, targets, np.ones(200), 0.1)
    predicted = probabilities(features @ weights + bias) > 0.5
    assert (predicted == targets).mean() > 0.97
    assert weights[1] > 3 * np.abs(np.delete(weights, 1)).max()


def test_without_features_the_bias_is_the_share() -> None:
    """With nothing to go by, the probability is the weighted share of ones."""
    weights, bias = fit(np.zeros((4, 2)), np.array([1.0, 0.0, 0.0, 0.0]), np.array([3.0, 1.0, 1.0, 1.0]), 1.0)
    assert np.allclose(weights, 0.0)
    assert np.isclose(probabilities(np.array([bias]))[0], 0.5)


def test_rows_without_weight_do_not_count() -> None:
    """A row of weight 0 changes nothing."""
    features = np.array([[1.0], [2.0], [-1.0], [50.0]])
    targets = np.array([1.0, 1.0, 0.0, 0.0])
    with_row = fit(features, targets, np.array([1.0, 1.0, 1.0, 0.0]), 0.5)
    without = fit(features[:3], targets[:3], np.ones(3), 0.5)
    assert np.allclose(with_row[0], without[0])
    assert np.isclose(with_row[1], without[1])


def test_gradient_vanishes_at_the_solution() -> None:
    """What is returned is the minimum of the penalised loss."""
    chance = np.random.default_rng(5)
    features, targets = chance.normal(size=(60, 3)), chance.integers(0, 2, 60).astype(np.float64)
    weights, bias = fit(features, targets, np.ones(60), 0.7)
    rest = probabilities(features @ weights + bias) - targets
    assert np.allclose(features.T @ rest + 0.7 * weights, 0.0, atol=1e-4)
    assert abs(rest.sum()) < 1e-4


def test_gives_up_after_a_number_of_steps() -> None:
    """Separable data without a ridge has no minimum; what was reached after the last step is returned."""
    weights, _ = fit(np.array([[1.0], [-1.0]]), np.array([1.0, 0.0]), np.ones(2), 1e-12)
    assert weights[0] > 10.0
