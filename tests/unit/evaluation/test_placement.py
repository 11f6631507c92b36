# SPDX-License-Identifier: Apache-2.0
"""Prediction and reference on one grid: exactly, in any axis order, or refused with the reason."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from monai_semigan.errors import GeometryError
from monai_semigan.evaluation.placement import lay_on
from monai_semigan.geometry.grid import VoxelGrid

SHAPE = (5, 6, 7)


def affine(*, degrees: float = 0.0, spacing=(0.7, 0.9, 3.0), origin=(-80.0, 40.0, 900.0)) -> np.ndarray:
    """Turned about two axes, so that an oblique volume is oblique in all three."""
    angle = np.radians(degrees)
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


LABEL = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0.0, 20.0, 45.0])
@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_a_reoriented_copy_comes_back_voxel_by_voxel(degrees: float, axes: tuple[int, ...]) -> None:
    """nibabel reorders voxels and affine on its own."""
    image = nib.Nifti1Image(LABEL, affine(degrees=degrees))
    reference = VoxelGrid(SHAPE, image.affine)

    for flips in product((1, -1), repeat=3):
        copy = image.as_reoriented(np.array(list(zip(axes, flips, strict=True))))
        result = lay_on(reference, np.asarray(copy.dataobj), VoxelGrid(copy.shape, copy.affine))

        np.testing.assert_array_equal(result, LABEL)


def test_rounded_headers_are_the_same_place() -> None:
    reference = VoxelGrid(SHAPE, affine(degrees=20.0))
    rounded = VoxelGrid(SHAPE, reference.affine.astype(np.float32).round(3))

    assert lay_on(reference, LABEL, rounded) is not None


@pytest.mark.parametrize(
    ("shape", "other", "words"),
    [
        (
            SHAPE,
            affine(origin=(-80.0, 40.0, 903.0)),
            "its center lies 3 mm away and its axes are turned by up to 0.00 degrees",
        ),
        (SHAPE, affine(origin=(-79.9, 40.0, 900.0)), "its center lies 0.1 mm away"),
        (SHAPE, affine(degrees=5.0), "turned by up to 7.07 degrees"),
        (SHAPE, affine(spacing=(0.7, 0.9, 3.1)), r"has 5 x 6 x 7 voxels of 0.7 x 0.9 x 3.1 mm .* 0.7 x 0.9 x 3 mm"),
        ((5, 6, 8), affine(), "has 5 x 6 x 8 voxels of .* where the reference has 5 x 6 x 7"),
        ((10, 12, 7), affine(spacing=(0.35, 0.45, 3.0)), "has 10 x 12 x 7 voxels of 0.35 x 0.45 x 3 mm"),
    ],
)
def test_another_grid_is_refused_with_the_difference_and_what_to_do(shape, other, words: str) -> None:
    reference = VoxelGrid(SHAPE, affine())

    with pytest.raises(GeometryError, match=words) as caught:
        lay_on(reference, np.zeros(shape, dtype=np.uint8), VoxelGrid(shape, other), name="ignore mask")
    assert str(caught.value).startswith("The ignore mask must lie on the reference's voxels")
    assert "Resample it to the reference with nearest neighbor" in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_are_compared_in_the_references_axis_order() -> None:
    """A reordered copy that lacks a slice is told apart along the axis where it lacks it."""
    reordered = VoxelGrid((7, 5, 5), affine()[:, [2, 0, 1, 3]])

    with pytest.raises(GeometryError, match=r"has 5 x 5 x 7 voxels of 0\.7 x 0.9 x 3 mm"):
        lay_on(VoxelGrid(SHAPE, affine()), np.zeros((7, 5, 5), dtype=np.uint8), reordered)


def test_a_sheared_reference_is_refused() -> None:
    sheared = affine()
    sheared[1, 2] = 1.0
    grid = VoxelGrid(SHAPE, sheared)

    with pytest.raises(GeometryError, match="must have perpendicular axes, but is sheared"):
        lay_on(grid, LABEL, grid)
