# SPDX-License-Identifier: Apache-2.0
"""A mean of a few values with its interval; also of values of the same patients in several repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["MeanInterval", "crossed_interval", "mean_interval", "patient_means"]

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
    return crossed_interval([values])


def crossed_interval(values: Sequence[Sequence[float]]) -> MeanInterval:
    """Return the mean over repetitions and patients, with the interval for other patients and other repetitions.

    Both are drawn from many, and each patient is in each repetition. The variance of the mean is the sum of that over
    patients, of their means over repetitions, and that over repetitions, of their means over patients: a little too
    large, as what is left of both counts twice. Student's distribution has Satterthwaite's degrees of freedom. One
    repetition gives `mean_interval`, and so says nothing of others.

    Args:
        values: R repetitions of the values of the same P patients each.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  (scipy is slow to import, and few need this)

    found = np.asarray(values, dtype=np.float64)  # (R, P)
    mean = float(found.mean())
    parts = [
        (float(means.var(ddof=1)) / len(means), len(means) - 1)
        for means in (found.mean(axis=0), found.mean(axis=1))
        if len(means) > 1
    ]
    count = found.shape[1]
    if not parts:
        return MeanInterval(mean, None, None, count)
    variance = sum(part for part, _ in parts)
    doubt = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / doubt if doubt else sum(freedom for _, freedom in parts)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(variance))
    return MeanInterval(mean, mean - half, mean + half, count)


def patient_means(values: Sequence[float], patients: Sequence[str]) -> list[float]:
    """Average the values of each patient's images, in the order of their first appearance."""
    groups: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        groups.setdefault(patient, []).append(value)
    return [float(np.mean(group)) for group in groups.values()]
