"""Solids: negative inside, about millimetres at the surface, inside their boxes."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.extras.phantoms.shapes import (
    Capsule,
    Common,
    Cylinder,
    Ellipsoid,
    HalfSpace,
    Slabs,
    Trunk,
    Union,
    Without,
    rotation,
)

BALL = Ellipsoid((10, -5, 3), (20, 20, 20))
SHAPES = [
    BALL,
    Ellipsoid((10, -5, 3), (12, 20, 31), (20, -10, 40)),
    Capsule((0, 0, 0), (20, 30, -10), 8, 3),
    Union((BALL, Ellipsoid((35, 0, 0), (12, 14, 15))), 10),
    Without(BALL, (Ellipsoid((20, -5, 3), (12, 12, 12)),)),
    Common((BALL, Cylinder((10, -5), (9, 6)))),
]


def lattice() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = np.arange(-60, 61, 4, dtype=np.float32)
    right, anterior, superior = np.meshgrid(axis, axis, axis, indexing="ij")
    return right, anterior, superior


def test_a_balls_distance_is_in_millimetres():
    points = tuple(np.array(values, np.float32) for values in ([10, 10, 10, 10], [-5, 5, 15, 19], [3, 3, 3, 3]))

    np.testing.assert_allclose(BALL.distance(points), [0, -10, 0, 4], atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_all_that_is_inside_lies_in_the_box(shape):
    points = lattice()
    inside = shape.distance(points) < 0
    low, high = shape.box()

    assert inside.any()
    for axis, first, last in zip(points, low, high, strict=True):
        assert axis[inside].min() >= first - 1e-3 and axis[inside].max() <= last + 1e-3


def test_rotations_turn_right_to_anterior():
    np.testing.assert_allclose(rotation((0, 0, 90)) @ (1, 0, 0), (0, 1, 0), atol=1e-12)
    matrix = rotation((10, 20, 30))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_slabs_repeat_and_slope():
    points = tuple(np.array(values, np.float32) for values in ([0, 0, 0, 0], [0, 0, 0, 10], [0, 30, 15, -5]))

    inside = Slabs(30, 10, 0, -0.5).distance(points) < 0

    assert inside.tolist() == [True, True, False, True]


def test_the_trunk_is_flatter_at_the_back_and_a_half_space_ends_at_its_plane():
    points = tuple(np.array(values, np.float32) for values in ([0, 0], [98, -98], [0, 0]))

    assert (Trunk(150, 100).distance(points) < 0).tolist() == [True, False]
    assert (HalfSpace((0, 1, 0), 5).distance(points) < 0).tolist() == [False, True]
