# SPDX-License-Identifier: Apache-2.0
"""How well the expected Dice coefficient tells good labels from bad ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from monai_semigan.segmentation.record import ClassRecord
from monai_semigan.workflows.calibration_learning import BAD_DICE

BINS = 5
"""Of equally many cases: more would hold too few."""


def expected_of(part: ClassRecord) -> float:
    """Return the expected Dice of a class: 0 where it was not found, NaN where none is told of what was found."""
    return (math.nan if part.share else 0.0) if part.expected_dice is None else part.expected_dice


def trust_numbers(pairs: Sequence[tuple[float, float]], limit: float | Sequence[float] | None) -> dict[str, Any]:
    """Say how expected Dice and Dice go together, and what both parts are like that the warnings make of a set.

    Args:
        pairs: Expected Dice and Dice by case; NaN where no Dice is expected, as the case is unlike the bundle's: such a
            case is warned of, and is not counted where the two are compared.
        limit: Of the expected Dice, below which is warned: for all pairs, or one for each.
    """
    expected, dice = np.array(pairs, dtype=float).T
    certain = expected >= (0.0 if limit is None else np.asarray(limit))  # not of NaN
    bad, told = dice < BAD_DICE, np.isfinite(expected)
    warned = {
        "unlike": float(1 - told.mean()),
        "uncertain": float(1 - certain.mean()),
        "dice_certain": _mean(dice[certain]),
        "dice_uncertain": _mean(dice[~certain]),
        "bad": int(bad.sum()),
        "bad_warned": _mean(~certain[bad]),
        "others_warned": _mean(~certain[~bad]),
        "dice_told": _mean(dice[told]),
    }
    expected, dice = expected[told], dice[told]
    if not len(expected):
        return warned
    return {
        "expected_dice": float(expected.mean()),
        "gap": float(np.abs(expected - dice).mean()),
        "calibration_error": calibration_error(expected, dice),
        "expected_dice_5th_percentile": float(np.quantile(expected, 0.05)),
        "rank_correlation": float(spearmanr(expected, dice).statistic) if _vary(expected) and _vary(dice) else None,
        **warned,
    }


def calibration_error(expected: np.ndarray, dice: np.ndarray) -> float:
    """Return the expected calibration error: how far the means are apart, in fifths of the cases by expected Dice."""
    parts = np.array_split(np.argsort(expected, kind="stable"), min(BINS, len(expected)))
    return float(sum(len(part) * abs(expected[part].mean() - dice[part].mean()) for part in parts) / len(expected))


def trust_text(numbers: dict[str, Any]) -> str:
    """Write `trust_numbers` as a line."""
    parts = [f"{numbers[f'dice_{name}']:.3f} if {name}" for name in ("certain", "uncertain") if numbers[f"dice_{name}"]]
    warned = (
        f"{numbers['uncertain']:.0%} warned of ({numbers['unlike']:.0%} unlike), Dice {', '.join(parts)}; "
        f"of {numbers['bad']} below {BAD_DICE} {numbers['bad_warned'] or 0:.0%}, "
        f"of the others {numbers['others_warned'] or 0:.0%}"
    )
    if "expected_dice" not in numbers:
        return warned
    correlation = "not defined" if numbers["rank_correlation"] is None else f"{numbers['rank_correlation']:.2f}"
    return (
        f"expected Dice {numbers['expected_dice']:.3f} where {numbers['dice_told']:.3f} is true "
        f"(calibration error {numbers['calibration_error']:.3f}, mean gap {numbers['gap']:.3f}), "
        f"5 % below {numbers['expected_dice_5th_percentile']:.3f}, rank correlation {correlation}; {warned}"
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _vary(values: np.ndarray) -> bool:
    return bool(np.ptp(values) > 0)
