"""Drawn DICOM series: what others read from them, and what dciodvfy says."""

from __future__ import annotations

import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK
from phantoms import ORIENTATIONS, oriented_grid, phantom, voxels, write_mha, write_nifti, write_series

from monai_semigan.errors import GeometryError
from monai_semigan.extras.datasets.volume_file import read_nifti_volume, read_slice_files
from monai_semigan.extras.phantoms.series import write_phantom_series
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_series_holds_the_phantom(tmp_path, orientation, modality):
    drawn = phantom(orientation)

    read, grid = read_slice_files(write_series(tmp_path, drawn, modality))

    np.testing.assert_array_equal(read, voxels(drawn, modality))
    assert grid.is_same_place(drawn.grid)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_simpleitk_places_series_and_mha_alike(tmp_path, orientation):
    drawn = phantom(orientation)
    write_mha(tmp_path / "a.mha", drawn.voxels_ct, drawn.grid)
    write_series(tmp_path / "series", drawn)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    series, volume = reader.Execute(), SimpleITK.ReadImage(str(tmp_path / "a.mha"))

    for index in ((3, 5, 2), (20, 9, 11)):
        place = volume.TransformIndexToPhysicalPoint(index)
        expected = lps_from_ras(drawn.grid.affine) @ (*index, 1)
        np.testing.assert_allclose(place, expected[:3], atol=1e-3)
        assert series[series.TransformPhysicalPointToIndex(place)] == volume[index] == drawn.voxels_ct[index]


def test_nifti_comes_back(tmp_path):
    drawn = phantom("oblique")

    read, grid = read_nifti_volume(write_nifti(tmp_path / "a.nii.gz", drawn.label, drawn.grid))

    np.testing.assert_array_equal(read, drawn.label)
    assert grid.is_same_place(drawn.grid)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_no_error(tmp_path, integration, modality):
    program = integration("dciodvfy")
    file = write_series(tmp_path, phantom("oblique"), modality)[3]

    result = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)

    assert "Error" not in result.stdout + result.stderr


def test_uids_depend_on_the_name_alone(tmp_path):
    drawn = phantom()
    first, again, other = (
        pydicom.dcmread(write_series(tmp_path / folder, drawn, name=name)[0])
        for folder, name in (("a", "x"), ("b", "x"), ("c", "y"))
    )

    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID != other.SeriesInstanceUID


def test_a_sheared_grid_is_refused(tmp_path):
    affine = np.array(oriented_grid().affine)
    affine[1, 2] += 6
    grid = VoxelGrid(oriented_grid().shape, affine)

    with pytest.raises(GeometryError, match="orthogonal"):
        write_phantom_series(tmp_path / "out", np.zeros(grid.shape, np.int16), grid, modality="CT")
    assert not (tmp_path / "out").exists()
