# SPDX-License-Identifier: Apache-2.0
"""Find the correction of the expected Dice on cases whose Dice is known."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit

from monai_semigan.segmentation.expected_dice import LEAST, MOST_OFFSET, MOST_SLOPE, DiceCalibration, bounded_logit

__all__ = ["fit_calibration", "moved_calibration"]

LEAST_SLOPE = 0.05
"""However little the expected Dice tells, its order stays."""

PULL = 1e-3
"""Weight of the pull to no correction, as much as that of one case: few cases say little."""


def fit_calibration(expected: np.ndarray, dice: np.ndarray, weights: np.ndarray | None = None) -> DiceCalibration:
    """Find the correction under which expected and true Dice agree, by least cross-entropy.

    Args:
        expected: Of C cases as the probabilities say, ``(C,)`` in [0, 1].
        dice: What is true, likewise.
        weights: Of the cases, >= 0; None for all alike.
    """
    x, weights = bounded_logit(expected), np.ones(len(dice)) if weights is None else weights
    shares, pull = weights / weights.sum(), PULL / len(dice)

    def loss(numbers: np.ndarray) -> float:
        offset, slope = numbers
        p = expit(offset + slope * x).clip(LEAST, 1 - LEAST)
        entropy = -(dice * np.log(p) + (1 - dice) * np.log(1 - p))
        return float((shares * entropy).sum() + pull * (offset**2 + (slope - 1) ** 2))

    found = minimize(loss, np.array([0.0, 1.0]), bounds=[(-MOST_OFFSET, MOST_OFFSET), (LEAST_SLOPE, MOST_SLOPE)])
    offset, slope = (round(float(number), 4) for number in found.x)
    return DiceCalibration(offset=offset, slope=slope)


def moved_calibration(before: DiceCalibration | None, expected: np.ndarray, dice: np.ndarray) -> DiceCalibration:
    """Move a calibration until expected and true Dice of a few cases agree in the mean; its slope stays.

    Args:
        before: Of the bundle that was adapted; None if it had none.
        expected: Of C cases as the probabilities say, ``(C,)`` in [0, 1]; NaN where nothing was found.
        dice: What is true, likewise.
    """
    slope = 1.0 if before is None else before.slope
    is_known = ~np.isnan(expected)
    if not is_known.any():
        return before or DiceCalibration(offset=0.0, slope=slope)
    x = slope * bounded_logit(expected[is_known])
    wanted = float(dice[is_known].mean())

    def gap(offset: float) -> float:
        return float(expit(offset + x).mean()) - wanted

    if gap(-MOST_OFFSET) >= 0 or gap(MOST_OFFSET) <= 0:  # no label was right, or each is perfect
        return DiceCalibration(offset=MOST_OFFSET if wanted > 0.5 else -MOST_OFFSET, slope=slope)
    return DiceCalibration(offset=round(float(brentq(gap, -MOST_OFFSET, MOST_OFFSET)), 4), slope=slope)
