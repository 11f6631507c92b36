# SPDX-License-Identifier: Apache-2.0
"""The slice that the report shows: the right one, the right way up, in square pixels."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.pictures.worst_slice import worst_slice


def phantom(spacing=(1.0, 1.0, 4.0)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An L in RAS voxels: long to the left and short to posterior, in slices 2 to 5; the prediction lacks slice 4."""
    reference = np.zeros((20, 18, 8), dtype=np.uint8)
    reference[4:15, 12:14, 2:6] = 1  # along x
    reference[13:15, 6:14, 2:6] = 2  # at the patient's right end (x grows to the right), to posterior
    predicted = reference.copy()
    predicted[:, :, 4] = 0
    predicted[4, 12, 2] = 0
    return predicted, reference, np.diag([*spacing, 1.0])


def test_an_axial_slice_has_the_patients_right_on_the_left_and_anterior_on_top() -> None:
    predicted, reference, affine = phantom()

    view = worst_slice(predicted, reference, VoxelGrid(reference.shape, affine))

    assert view.name == "axial slice 5 of 8"
    assert not view.predicted.any() and view.ignore is None
    rows, columns = np.nonzero(view.reference == 2)
    bar_rows, bar_columns = np.nonzero(view.reference == 1)
    assert columns.max() < bar_columns.min()  # the patient's right
    assert rows.max() > bar_rows.max() and rows.min() == bar_rows.min()  # down to posterior


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_the_picture_does_not_depend_on_the_axis_order(order: list[int], flips: tuple[int, ...]) -> None:
    predicted, reference, affine = phantom()
    copies = [
        nib.Nifti1Image(label, affine).as_reoriented(np.array(list(zip(order, flips, strict=True))))
        for label in (predicted, reference)
    ]
    expected = worst_slice(predicted, reference, VoxelGrid(reference.shape, affine))

    view = worst_slice(*(np.asarray(c.dataobj) for c in copies), VoxelGrid(copies[0].shape, copies[0].affine))

    np.testing.assert_array_equal(view.reference, expected.reference)
    assert view.name == ("axial slice 5 of 8" if flips[2] == 1 else "axial slice 4 of 8")  # as the file counts


def test_thick_slices_of_any_plane_are_shown_whole_with_the_head_on_top() -> None:
    """A coronal acquisition: the slice axis is along y, and pixels of 1 x 2 mm become squares."""
    reference = np.zeros((12, 6, 10), dtype=np.uint8)
    reference[3:9, 2:4, 3:5] = 1
    reference[3:5, 2:4, 3:8] = 1  # up, at the patient's left end
    predicted = np.zeros_like(reference)
    predicted[3, 2, 3] = 1

    view = worst_slice(predicted, reference, VoxelGrid(reference.shape, np.diag([1.0, 8.0, 2.0, 1.0])))

    assert view.name == "coronal slice 4 of 6"
    rows, columns = np.nonzero(view.reference)
    assert rows.max() - rows.min() + 1 == 10 and columns.max() - columns.min() + 1 == 6
    assert columns[rows == rows.min()].min() > columns[rows == rows.max()].min()  # the tower stands on the right


def test_the_image_is_cut_like_the_labels() -> None:
    predicted, reference, affine = phantom((1.0, 2.0, 4.0))

    view = worst_slice(predicted, reference, VoxelGrid(reference.shape, affine), image=reference * -300.5)

    assert view.image is not None
    np.testing.assert_array_equal(view.image, view.reference * -300.5)


def test_ignored_voxels_do_not_choose_the_slice() -> None:
    predicted, reference, affine = phantom()
    ignore = np.zeros(reference.shape, dtype=bool)
    ignore[:, :, 4] = True

    view = worst_slice(predicted, reference, VoxelGrid(reference.shape, affine), ignore=ignore)

    assert view.name == "axial slice 3 of 8" and view.ignore is not None and not view.ignore.any()


def test_an_isotropic_volume_is_shown_in_axial_slices_and_an_empty_one_at_all() -> None:
    predicted, reference, affine = phantom((1.0, 1.0, 1.0))
    empty = np.zeros_like(reference)

    assert worst_slice(predicted, reference, VoxelGrid(reference.shape, affine)).name.startswith("axial")
    assert worst_slice(empty, empty, VoxelGrid(reference.shape, affine)).reference.shape == (18, 20)
