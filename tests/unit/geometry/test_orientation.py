from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import axcodes, lps_from_ras, plane_name, reorient_to

SHAPE = (3, 4, 5)
ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def grid_of(axes: tuple[int, ...], signs: tuple[int, ...], *, tilt: float = 0.0) -> VoxelGrid:
    matrix = np.zeros((4, 4))
    for index, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[axis, index] = sign * (0.5 + index)
    cos, sin = np.cos(tilt), np.sin(tilt)
    matrix[:3, :3] = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ matrix[:3, :3]
    matrix[:, 3] = (7, -8, 9, 1)
    return VoxelGrid(SHAPE, matrix)


@pytest.mark.parametrize("tilt", [0.0, 0.6])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_all_48_orientations(axes: tuple[int, ...], signs: tuple[int, ...], tilt: float) -> None:
    grid = grid_of(axes, signs, tilt=tilt)
    assert axcodes(grid.affine) == nib.aff2axcodes(grid.affine)
    voxels = np.arange(60).reshape(SHAPE)
    change = reorient_to(grid, ("L", "P", "S"))
    moved = change.apply(voxels)
    assert moved.shape == change.target.shape
    assert axcodes(change.target.affine) == ("L", "P", "S")
    # every voxel keeps its place in the patient
    indices = np.argwhere(moved >= 0)
    places = dict(zip(moved[tuple(indices.T)], change.target.to_mm(indices), strict=True))
    source = np.argwhere(voxels >= 0)
    for value, place in zip(voxels[tuple(source.T)], grid.to_mm(source), strict=True):
        np.testing.assert_allclose(places[value], place, atol=1e-9)
    assert np.shares_memory(moved, voxels)


def test_channels_stay_last() -> None:
    change = reorient_to(grid_of((2, 0, 1), (1, -1, 1)))
    voxels = np.random.default_rng(0).normal(size=(*SHAPE, 2))
    moved = change.apply(voxels)
    np.testing.assert_array_equal(moved[..., 1], change.apply(voxels[..., 1]))
    assert moved.shape == (*change.target.shape, 2)


def test_wrong_shapes_and_codes() -> None:
    change = reorient_to(grid_of((0, 1, 2), (1, 1, 1)))
    with pytest.raises(GeometryError, match="grid's shape"):
        change.apply(np.zeros((5, 4, 3)))
    with pytest.raises(GeometryError, match="once"):
        reorient_to(change.source, ("L", "R", "S"))


def test_planes() -> None:
    assert plane_name(np.diag([-1.0, -1, 5, 1])) == "axial"
    assert plane_name(grid_of((0, 2, 1), (1, -1, 1)).affine) == "coronal"
    assert plane_name(grid_of((1, 2, 0), (1, -1, 1)).affine) == "sagittal"
    assert plane_name(np.diag([-1.0, -1, 5, 1]), axis=0) == "sagittal"


def test_lps_is_its_own_inverse() -> None:
    matrix = grid_of((2, 0, 1), (1, -1, 1)).affine
    np.testing.assert_array_equal(lps_from_ras(lps_from_ras(matrix)), matrix)
    np.testing.assert_array_equal(lps_from_ras(matrix)[:2], -matrix[:2])
