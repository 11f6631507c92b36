"""Copies of volumes for the screen hold the values that are seen, and say where they lie."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.screen_volume import image_nifti, label_nifti, share_nifti

GRID = VoxelGrid((3, 4, 5), np.array([[0, -2.0, 0, 7], [1.5, 0, 0, -3], [0, 0, 4.0, 1], [0, 0, 0, 1]]))


def read(content: bytes) -> tuple[np.ndarray, nibabel.Nifti1Image]:
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    return np.asarray(image.dataobj), image


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32])
def test_hu_are_whole_and_cut_to_what_scanners_give(dtype) -> None:
    voxels = np.arange(60, dtype=dtype).reshape(3, 4, 5) * 100 - 1500

    values, image = read(image_nifti(voxels, GRID, is_ct=True))

    np.testing.assert_array_equal(values, voxels.clip(-1024, 3071))
    np.testing.assert_allclose(image.affine, GRID.affine)
    assert image.get_data_dtype() == np.int16 and image.shape == (3, 4, 5)


def test_values_of_any_size_keep_their_order_and_size() -> None:
    voxels = np.linspace(-1e-7, 5e-7, 60, dtype=np.float64).reshape(3, 4, 5)
    voxels[1, 2, 3] = np.nan

    values, _ = read(image_nifti(voxels, GRID, is_ct=False))

    expected = np.nan_to_num(voxels, nan=-1e-7)
    np.testing.assert_allclose(values, expected, atol=6e-7 / 32767)


@pytest.mark.parametrize("fill", [0.25, np.nan, 70_000])
def test_a_constant_volume_is_one_too(fill) -> None:
    values, _ = read(image_nifti(np.full((3, 4, 5), fill), GRID, is_ct=False))

    assert np.allclose(values, 0 if np.isnan(fill) else fill)


def test_labels_and_shares() -> None:
    label = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    share = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)

    np.testing.assert_array_equal(read(label_nifti(label, GRID))[0], label)
    np.testing.assert_allclose(read(share_nifti(share, GRID))[0], share, atol=0.5 / 255 + 1e-6)


def test_equal_volumes_are_equal_files() -> None:
    label = np.ones((3, 4, 5), dtype=np.uint8)

    assert label_nifti(label, GRID) == label_nifti(label.copy(order="F"), GRID)
