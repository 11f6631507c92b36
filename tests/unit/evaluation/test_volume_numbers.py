"""Volumes and areas of classes."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.errors import InputError, ShapeError
from monai_semigan.evaluation.volume_numbers import class_areas_mm2, class_counts, class_volumes_ml
from monai_semigan.geometry.grid import VoxelGrid

LABEL = np.zeros((3, 4, 5), dtype=np.uint8)
LABEL[:2, 1, :] = 1
LABEL[2, 3, 4] = 2


def test_volumes_follow_from_the_affine():
    affine = np.diag([-0.5, 2.0, 10.0, 1.0])  # a flip does not make volumes negative

    volumes = class_volumes_ml(LABEL, VoxelGrid((3, 4, 5), affine), 4)

    assert volumes == pytest.approx((49 * 0.01, 10 * 0.01, 0.01, 0.0))


def test_a_sheared_grid_has_the_volume_of_its_cells():
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[1, 2] = 2.0  # slices 5 mm apart, each shifted by 2 mm

    assert class_volumes_ml(LABEL, VoxelGrid((3, 4, 5), affine), 3)[2] == pytest.approx(0.005)


def test_areas_follow_from_the_spacing():
    assert class_areas_mm2(LABEL[:, :, 4], (0.5, 3.0), 3) == pytest.approx((9 * 1.5, 2 * 1.5, 1.5))


def test_counts_of_any_shape():
    assert class_counts(LABEL, 3) == (49, 10, 1)
    assert class_counts(LABEL.astype(np.int64), 4) == (49, 10, 1, 0)
    assert class_counts(np.zeros((0, 3), dtype=np.uint8), 2) == (0, 0)


def test_what_is_no_label_is_refused():
    grid = VoxelGrid((3, 4, 5), np.eye(4))
    with pytest.raises(InputError, match="0 to 1, got 0 to 2"):
        class_volumes_ml(LABEL, grid, 2)
    with pytest.raises(InputError, match="class ids"):
        class_volumes_ml(LABEL.astype(np.float32), grid, 3)
    with pytest.raises(InputError, match="grid's shape"):
        class_volumes_ml(LABEL[:2], grid, 3)
    with pytest.raises(InputError, match="got -1"):
        class_counts(np.array([[-1]]), 3)
    with pytest.raises(ShapeError):
        class_volumes_ml(LABEL[0], grid, 3)
    with pytest.raises(ShapeError):
        class_areas_mm2(LABEL, (1, 1), 3)
