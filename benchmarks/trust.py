# SPDX-License-Identifier: Apache-2.0
"""How well the expected Dice coefficient tells good labels from bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

BINS = 5
"""Of equally many cases: more would hold too few."""


def trust_numbers(pairs: Sequence[tuple[float, float]], limit: float | Sequence[float] | None) -> dict[str, Any]:
    """Say how expected Dice and Dice go together, and what both parts are like that a limit makes of the set.

    A limit is for all pairs, or there is one for each.
    """
    expected, dice = np.array(pairs).T
    certain = expected >= (0.0 if limit is None else np.asarray(limit))
    return {
        "expected_dice": float(expected.mean()),
        "gap": float(np.abs(expected - dice).mean()),
        "calibration_error": calibration_error(expected, dice),
        "expected_dice_5th_percentile": float(np.quantile(expected, 0.05)),
        "rank_correlation": float(spearmanr(expected, dice).statistic) if _vary(expected) and _vary(dice) else None,
        "uncertain": float(1 - certain.mean()),
        "dice_certain": float(dice[certain].mean()) if certain.any() else None,
        "dice_uncertain": float(dice[~certain].mean()) if not certain.all() else None,
    }


def calibration_error(expected: np.ndarray, dice: np.ndarray) -> float:
    """Return the expected calibration error: how far the means are apart, in fifths of the cases by expected Dice."""
    parts = np.array_split(np.argsort(expected, kind="stable"), min(BINS, len(expected)))
    return float(sum(len(part) * abs(expected[part].mean() - dice[part].mean()) for part in parts) / len(expected))


def trust_text(numbers: dict[str, Any]) -> str:
    """Write `trust_numbers` as a line."""
    parts = [f"{numbers[f'dice_{name}']:.3f} if {name}" for name in ("certain", "uncertain") if numbers[f"dice_{name}"]]
    correlation = "not defined" if numbers["rank_correlation"] is None else f"{numbers['rank_correlation']:.2f}"
    return (
        f"expected Dice {numbers['expected_dice']:.3f} (calibration error {numbers['calibration_error']:.3f}, mean gap "
        f"{numbers['gap']:.3f}), 5 % below {numbers['expected_dice_5th_percentile']:.3f}, "
        f"rank correlation {correlation}; {numbers['uncertain']:.0%} uncertain, "
        f"Dice {', '.join(parts)}"
    )


def _vary(values: np.ndarray) -> bool:
    return bool(np.ptp(values) > 0)
