# SPDX-License-Identifier: Apache-2.0
"""Intervals of a few values, against tables and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.evaluation.small_sample import crossed_interval, mean_interval, patient_means


def test_students_interval_of_five_values() -> None:
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.776445 * np.sqrt(2.5 / 5)  # t of 4 degrees of freedom, from a table
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 3 - half, 3 + half), rel=1e-5)
    assert str(found) == "3.000 [1.037, 4.963]"


def test_one_value_has_no_interval() -> None:
    assert str(mean_interval([0.5])) == "0.500" and mean_interval([0.5]).low is None


def test_one_repetition_is_the_interval_over_patients_and_equal_values_have_none() -> None:
    values = [0.9, 0.8, 0.95]
    assert crossed_interval([values]) == mean_interval(values)
    assert crossed_interval([[0.5, 0.5], [0.5, 0.5]]).low == 0.5
    assert crossed_interval([[0.4], [0.6], [0.5]]).low == pytest.approx(0.5 - 4.302653 * 0.1 / np.sqrt(3), rel=1e-5)


def test_it_covers_the_truth_where_repetitions_differ_and_an_interval_over_patients_does_not() -> None:
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    for _ in range(400):
        patients, seeds = rng.normal(0, 1, (1, 20)), rng.normal(0, 0.5, (3, 1))
        values = (patients + seeds + rng.normal(0, 0.5, (3, 20))).tolist()
        found = crossed_interval(values), mean_interval(np.mean(values, axis=0).tolist())
        covered += [part.low <= 0 <= part.high for part in found]
    crossed, over_patients = covered / 400
    assert crossed > 0.92 and over_patients < 0.88


def test_a_patient_counts_once() -> None:
    assert patient_means([1.0, 0.0, 0.5, 0.0], ["b", "a", "a", "b"]) == [0.5, 0.25]
