"""Weighted logistic regression by Newton's method: few features, many rows, no randomness, no dependency but numpy."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS: Final = 25
TOLERANCE: Final = 1e-6
_CLIP: Final = 40.0


def probabilities(logits: Floats) -> Floats:
    """The logistic function."""
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -_CLIP, _CLIP)))
    return result


def fit(features: Floats, targets: Floats, weights: Floats, ridge: float) -> tuple[Floats, float]:
    """Coefficients and bias that minimise the weighted log loss plus ``ridge`` / 2 times the squared coefficients.

    ``features`` [rows, n], ``targets`` and ``weights`` [rows]; rows of weight 0 are passed over.
    """
    used = weights > 0
    design = np.hstack([features[used], np.ones((int(used.sum()), 1))])
    target, weight = targets[used], weights[used]
    # The bias is not held back; the tiny term only keeps the system solvable.
    penalty = np.append(np.full(features.shape[1], ridge), 1e-9)
    solution = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = probabilities(design @ solution)
        gradient = design.T @ (weight * (chance - target)) + penalty * solution
        curvature = weight * chance * (1.0 - chance)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        solution -= step
        if np.abs(step).max() < TOLERANCE:
            break
    return solution[:-1], float(solution[-1])
