from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid


def affine(*spacing: float, origin: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = origin
    return matrix


def test_spacing_origin_and_volume() -> None:
    grid = VoxelGrid((4, 5, 6), affine(0.5, 2.0, 3.0, origin=(10, -20, 30)))
    assert grid.spacing_mm == (0.5, 2.0, 3.0)
    assert grid.origin_mm == (10, -20, 30)
    assert grid.voxel_volume_ml == pytest.approx(0.003)
    assert grid.is_orthogonal


def test_volume_of_a_sheared_voxel_is_the_parallelepiped() -> None:
    sheared = affine(1, 1, 2)
    sheared[1, 2] = 1.5  # a tilted gantry: slices slide along y
    grid = VoxelGrid((2, 2, 2), sheared)
    assert grid.voxel_volume_ml == pytest.approx(0.002)
    assert grid.spacing_mm[2] == pytest.approx(2.5)
    assert not grid.is_orthogonal


def test_points_go_there_and_back() -> None:
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * [0.7, 0.8, 5]
    matrix[:3, 3] = [100, -50, 7]
    grid = VoxelGrid((8, 9, 10), matrix)
    points = rng.uniform(0, 7, (20, 3))
    np.testing.assert_allclose(grid.to_indices(grid.to_mm(points)), points, atol=1e-10)
    np.testing.assert_allclose(grid.corners_mm()[0], grid.origin_mm)
    np.testing.assert_allclose(grid.corners_mm()[-1], grid.to_mm(np.array([[7, 8, 9]]))[0])


def test_the_affine_is_a_copy_that_cannot_change() -> None:
    matrix = affine(1, 1, 1)
    grid = VoxelGrid((2, 2, 2), matrix)
    matrix[0, 0] = 99
    assert grid.spacing_mm[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 5


def test_same_place() -> None:
    grid = VoxelGrid((2, 3, 4), affine(1, 1, 1))
    assert grid.is_same_place(VoxelGrid((2, 3, 4), affine(1, 1, 1, origin=(5e-4, 0, 0))))
    assert not grid.is_same_place(VoxelGrid((2, 3, 4), affine(1, 1, 1, origin=(5e-3, 0, 0))))
    assert not grid.is_same_place(VoxelGrid((2, 3, 5), affine(1, 1, 1)))
    assert grid == VoxelGrid((2, 3, 4), affine(1, 1, 1))


def singular() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 1] = matrix[:3, 0]
    return matrix


@pytest.mark.parametrize(
    ("shape", "matrix", "said"),
    [
        ((2, 2, 0), np.eye(4), "sizes >= 1"),
        ((2, 2), np.eye(4), "three sizes"),
        ((100_000, 100_000, 100), np.eye(4), "at most"),
        ((2, 2, 2), np.eye(3), "4 x 4"),
        ((2, 2, 2), np.full((4, 4), np.nan), "finite"),
        ((2, 2, 2), np.diag([1.0, 1, 0, 1]), "mm apart"),
        ((2, 2, 2), np.diag([1.0, 1, 1e6, 1]), "mm apart"),
        ((2, 2, 2), singular(), "one plane"),
        ((2, 2, 2), np.diag([1.0, 1, 1, 2]), "last row"),
    ],
)
def test_what_is_no_grid(shape: tuple[int, int, int], matrix: np.ndarray, said: str) -> None:
    with pytest.raises(GeometryError, match=said):
        VoxelGrid(shape, matrix)
