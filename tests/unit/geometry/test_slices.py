"""Stacks of slices: order, gaps, and slices beside the axis."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.slices import orthonormal, stack_slices

ROW, COLUMN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def stack(heights, offsets=None):
    positions = np.zeros((len(heights), 3))
    positions[:, 2] = heights
    if offsets is not None:
        positions[:, :2] = offsets
    return stack_slices(positions, ROW, COLUMN)


def test_order_follows_the_normal():
    found = stack([5.0, 0.0, 2.5])

    assert found.order.tolist() == [1, 2, 0]
    np.testing.assert_allclose(found.heights_mm, [0, 2.5, 5])
    assert found.spacing_mm == 2.5 and found.indices.tolist() == [0, 1, 2]
    assert not (found.duplicates or found.missing or found.uneven)


def test_columns_rows_and_slices_are_right_handed():
    found = stack_slices(np.array([[0, 0, 0], [0, 3.0, 0]]), (1, 0, 0), (0, 0, -1))

    np.testing.assert_allclose(found.axes[:, 2], (0, 1, 0))
    assert np.linalg.det(found.axes) == pytest.approx(1)


def test_gaps_of_several_spacings_are_missing_slices():
    found = stack([0, 2, 4, 8, 10, 16])

    assert found.missing == {2: 1, 4: 2} and found.uneven == []
    assert found.indices.tolist() == [0, 1, 2, 4, 5, 8]


def test_mostly_missing_slices_are_found_by_the_smallest_gap():
    assert stack([0, 2, 6, 10, 14]).missing == {1: 1, 2: 1, 3: 1}


def test_duplicates_and_uneven_gaps_are_told_apart():
    assert stack([0, 2, 2.0005, 4]).duplicates == [1]
    assert stack([0, 2, 4, 7, 9, 11]).uneven == [2]


@pytest.mark.parametrize("step", [0.8125, 1.25, 3.27])
def test_positions_rounded_to_a_tenth_are_even(step):
    found = stack(np.round(np.arange(80) * step, 1))

    assert not (found.duplicates or found.missing or found.uneven)
    assert found.spacing_mm == pytest.approx(step, abs=0.002)


def test_small_deviations_that_add_up_are_uneven():
    gaps = np.concatenate([np.full(50, 1.0), np.full(50, 1.02)])

    assert stack(np.concatenate(([0], np.cumsum(gaps)))).uneven


def test_tilt_is_the_angle_to_the_normal():
    found = stack([0, 10, 20], [(0, 0), (0, -10), (0, -20)])

    assert found.tilt_degrees == pytest.approx(45) and found.max_offset_mm == pytest.approx(20)


def test_single_slice():
    found = stack([3.0])

    assert found.spacing_mm == 0 and found.indices.tolist() == [0] and found.max_offset_mm == 0


def test_rounding_of_cosines_is_removed():
    axes = orthonormal((0.99985, 0.0, 0.0174), (0.0001, 1.0, 0.0))

    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("column", [(0, 0.9, 0), (0.1, 0.995, 0), (0, 0, 0), (np.nan, 1, 0)])
def test_other_cosines_are_refused(column):
    with pytest.raises(GeometryError, match="perpendicular unit vectors"):
        orthonormal(ROW, column)


def test_positions_must_be_finite():
    with pytest.raises(GeometryError, match="finite"):
        stack([0, np.nan])
