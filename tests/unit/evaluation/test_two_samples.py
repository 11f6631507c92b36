# SPDX-License-Identifier: Apache-2.0
"""Energy distance of two sets."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError, ShapeError
from monai_semigan.evaluation.two_samples import compare_samples


def normal(count: int, seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, size=(count, 4))


def test_two_draws_of_one_distribution_are_as_far_apart_as_chance():
    found = compare_samples(normal(40, 0), normal(60, 1))

    assert found.p_value > 0.05
    assert found.distance == pytest.approx(found.expected, abs=0.02)


def test_two_distributions_are_told_apart_and_further_ones_more():
    near, far = (compare_samples(normal(40, 0), normal(60, 1, mean)) for mean in (0.7, 3.0))

    assert near.p_value < 0.01 and far.p_value == pytest.approx(0.001)
    assert near.distance < far.distance < 1


def test_a_set_against_itself_is_at_zero():
    found = compare_samples(normal(30, 0), normal(30, 0))

    assert found.distance == pytest.approx(0, abs=1e-9) and found.p_value == 1


def test_two_points_are_at_one_and_equal_numbers_do_not_count():
    a, b = np.zeros((3, 4)), np.zeros((5, 4))
    b[:, 1] = 2.0

    assert compare_samples(a, b).distance == pytest.approx(1)
    assert compare_samples(a, a).distance == 0


def test_too_few_or_different_vectors_are_refused():
    with pytest.raises(InputError, match="at least two images, got 1 and 5"):
        compare_samples(normal(1, 0), normal(5, 1))
    with pytest.raises(ShapeError):
        compare_samples(normal(4, 0), normal(5, 1)[:, :3])
