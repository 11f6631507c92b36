# SPDX-License-Identifier: Apache-2.0
"""A mean of a few values with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MeanInterval", "mean_interval"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MeanInterval:
    """A mean and where it may lie.

    Attributes:
        mean: Of the values.
        low: Lower end of the 95 % interval; None for a single value.
        high: Upper end.
        count: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" [{self.low:.3f}, {self.high:.3f}]" if self.low is not None else "")


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Return the mean of one or more values with Student's interval: a bootstrap of five values is far too narrow."""
    from scipy.special import stdtrit  # noqa: PLC0415  (scipy is slow to import, and few need this)

    found = np.asarray(values, dtype=np.float64)
    mean, count = float(found.mean()), len(found)
    if count < 2:
        return MeanInterval(mean, None, None, count)
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * found.std(ddof=1) / np.sqrt(count))
    return MeanInterval(mean, mean - half, mean + half, count)
