# SPDX-License-Identifier: Apache-2.0
"""Nearest training images: found right, and copies told from likenesses."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError, ShapeError
from monai_semigan.evaluation.memorization import audit_space, nearer, nearest_neighbors


def cloud(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 30)).astype(np.float32)


def test_the_nearest_is_the_one_of_all_distances():
    training, queries = cloud(150, 0), cloud(130, 1)
    apart = np.linalg.norm(queries[:, None].astype(np.float64) - training, axis=2)

    found = nearest_neighbors(queries, training)

    np.testing.assert_array_equal(found.indices, apart.argmin(axis=1))
    np.testing.assert_allclose(found.distances, apart.min(axis=1), rtol=1e-6)
    ranked = np.sort(apart, axis=1)
    np.testing.assert_allclose(found.ratios, ranked[:, 0] / ranked[:, 1:11].mean(axis=1), rtol=1e-6)


def test_a_copy_far_from_the_origin_is_at_zero():
    training = cloud(40, 0) + 1000  # where squares cancel

    assert nearest_neighbors(training[7:8], training).distances[0] == 0


def test_one_training_image_has_no_rivals():
    assert nearest_neighbors(cloud(3, 0), cloud(1, 1)).ratios.tolist() == [1, 1, 1]


def test_samples_of_the_same_distribution_are_no_copies():
    training = cloud(200, 0)

    audit = audit_space(nearest_neighbors(cloud(100, 1), training), nearest_neighbors(cloud(60, 2), training))

    assert not audit.is_copy.any()
    assert audit.p_value > 0.01
    assert audit.p_values.min() > 0 and audit.p_values.max() <= 1


def test_a_planted_copy_is_found_and_no_other():
    training, samples = cloud(200, 0), cloud(100, 1)
    samples[17] = training[123] + 0.05 * cloud(1, 9)[0]

    found = nearest_neighbors(samples, training)
    audit = audit_space(found, nearest_neighbors(cloud(60, 2), training))

    assert np.flatnonzero(audit.is_copy).tolist() == [17] and found.indices[17] == 123
    assert audit.p_values[17] == pytest.approx(1 / 61)


def test_samples_that_are_all_nearer_give_a_small_p_value():
    training = cloud(200, 0)
    samples = training[:100] + 0.7 * cloud(100, 1)

    audit = audit_space(nearest_neighbors(samples, training), nearest_neighbors(cloud(60, 2), training))

    assert audit.p_value < 1e-6 and audit.median < audit.median_unseen


def test_of_two_views_the_nearer_one_counts():
    training = cloud(50, 0)
    a, b = nearest_neighbors(cloud(6, 1), training), nearest_neighbors(training[10:16] + 0.1, training)

    both = nearer(a, b)

    assert (both.indices == b.indices).all() and (both.ratios == b.ratios).all()
    assert (nearer(b, a).distances == both.distances).all()


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="images to compare"):
        nearest_neighbors(cloud(3, 0), cloud(3, 0)[:0])
    with pytest.raises(ShapeError):
        nearest_neighbors(cloud(3, 0), cloud(3, 0)[:, :20])
