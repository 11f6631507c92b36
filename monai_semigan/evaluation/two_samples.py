# SPDX-License-Identifier: Apache-2.0
"""Whether two sets of vectors come from one distribution: energy distance with a permutation test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from monai_semigan.errors import InputError, check_shape

__all__ = ["TwoSamples", "compare_samples"]

NUM_PERMUTATIONS = 999


@dataclass(frozen=True)
class TwoSamples:
    """How far two sets are apart.

    Attributes:
        distance: Energy distance as a share of the mean distance between both sets, in [0, 1]: 0 for one distribution,
            1 for two points (Szekely and Rizzo 2013, "Energy statistics", the coefficient of inhomogeneity).
        expected: Its mean where images are dealt to both sets by chance: small sets are never at 0.
        p_value: Share of such deals that are as far apart or further.
    """

    distance: float
    expected: float
    p_value: float


def compare_samples(a: np.ndarray, b: np.ndarray, *, seed: int = 0) -> TwoSamples:
    """Compare two sets of vectors, each number scaled to unit variance over both.

    Args:
        a: ``(N, D)``, N at least 2.
        b: ``(M, D)``, M at least 2.
        seed: Of the permutations.

    Raises:
        InputError: There are fewer than two vectors in a set.
        ShapeError: They have different lengths.
    """
    size = check_shape("a", a.shape, "N D")
    check_shape("b", b.shape, f"M {size['D']}")
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise InputError(f"Both sets must have at least two images, got {n} and {m}.")
    both = np.concatenate([a, b]).astype(np.float64)
    spread = both.std(axis=0)
    both = (both - both.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    apart = cdist(both, both)
    in_a = np.zeros(n + m)
    in_a[:n] = 1
    found = _energy(apart, in_a[None])[0]
    rng = np.random.default_rng(seed)
    dealt = _energy(apart, rng.permuted(np.tile(in_a, (NUM_PERMUTATIONS, 1)), axis=1))
    p_value = (1 + int((dealt >= found - 1e-12).sum())) / (1 + NUM_PERMUTATIONS)
    return TwoSamples(float(found), float(dealt.mean()), p_value)


def _energy(apart: np.ndarray, in_a: np.ndarray) -> np.ndarray:
    """Return the coefficient for each row of memberships, ``(P, N + M)``."""
    in_b = 1 - in_a
    n, m = in_a.sum(axis=1), in_b.sum(axis=1)
    from_a = in_a @ apart
    between = (from_a * in_b).sum(axis=1) / (n * m)
    within_a = (from_a * in_a).sum(axis=1) / n**2
    within_b = ((in_b @ apart) * in_b).sum(axis=1) / m**2
    energy = 2 * between - within_a - within_b
    coefficient: np.ndarray = np.divide(energy, 2 * between, out=np.zeros(len(in_a)), where=between > 0).clip(0, 1)
    return coefficient
