# SPDX-License-Identifier: Apache-2.0
"""Outlines of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import polygon2mask

from monai_semigan.writers.contours import outlines


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres an odd number of polygons encloses."""
    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        mask ^= polygon2mask(shape, polygon[:, ::-1].astype(float) - 0.5)
    return mask


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 17)), elements=st.booleans()))
def test_they_enclose_the_same_pixels(mask):
    polygons = outlines(mask, max_points=1000, max_outlines=1000)

    np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def test_a_smooth_outline_is_exact_with_few_points():
    rows, columns = np.mgrid[0:300, 0:400]
    mask = ((rows - 140) / 120) ** 2 + ((columns - 220) / 150) ** 2 < 1
    mask[120:160, 190:230] = False

    outer, hole = outlines(mask, max_points=1000, max_outlines=9)

    np.testing.assert_array_equal(filled([outer, hole], mask.shape), mask)
    assert len(outer) < 400 and len(hole) == 9  # a square with cut corners
    assert all((line[0] == line[-1]).all() and line.dtype == np.float32 for line in (outer, hole))


def test_coordinates_are_column_and_row_from_the_outer_edge():
    mask = np.zeros((5, 9), dtype=bool)
    mask[4, 7:] = True

    (line,) = outlines(mask, max_points=99, max_outlines=9)

    assert line.min(axis=0).tolist() == [7, 4] and line.max(axis=0).tolist() == [9, 5]


@pytest.mark.parametrize(("max_points", "least"), [(200, 0.998), (40, 0.97), (8, 0.8)])
def test_an_outline_with_too_many_points_is_drawn_coarser(max_points, least):
    rows, columns = np.mgrid[0:300, 0:400]
    radius = 100 + 20 * np.sin(7 * np.arctan2(rows - 150, columns - 200))
    mask = np.hypot(rows - 150, columns - 200) < radius

    (line,) = outlines(mask, max_points=max_points, max_outlines=9)

    both = (filled([line], mask.shape) & mask).sum()
    assert len(line) <= max_points
    assert 2 * both / (filled([line], mask.shape).sum() + mask.sum()) > least


def test_the_longest_are_kept():
    mask = np.zeros((20, 30), dtype=bool)
    mask[1, 1] = mask[5:15, 5:20] = mask[1:4, 25:29] = True

    kept = outlines(mask, max_points=99, max_outlines=2)

    assert [len(line) for line in kept] == [9, 9] and kept[0].min() == 5 and kept[1][:, 0].min() == 25
    assert outlines(np.zeros((3, 4), dtype=bool), max_points=9, max_outlines=9) == []
