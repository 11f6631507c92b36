"""Label volumes lie exactly on their source, whatever reads them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from dicom_files import read_volume

from monai_semigan.errors import InputError, OutputError, ShapeError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.itk_volume import read_itk
from monai_semigan.io.label_volume import (
    read_label_volume,
    write_itk_label,
    write_nifti_label,
    write_nifti_probability,
)
from monai_semigan.io.nifti_volume import read_nifti
from monai_semigan.io.volume import SourceVolume

LABEL = (np.arange(2 * 3 * 5) % 4).reshape(2, 3, 5).astype(np.uint8)
AFFINE = np.array([[-0.8, 0.0, 0.0, 12.0], [0.0, 0.0, 2.5, -30.0], [0.0, 0.6, 0.0, 5.0], [0, 0, 0, 1]])


@pytest.fixture
def volume():
    return SourceVolume(name="x", voxels=np.zeros((2, 3, 5)), grid=VoxelGrid((2, 3, 5), AFFINE))


@pytest.mark.parametrize("name", ["l.nii.gz", "l.nii"])
@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (1, 0), (0, 0)])
def test_nifti_on_nifti_keeps_shape_forms_and_units(tmp_path, name, codes):
    image = nib.Nifti1Image(np.arange(30, dtype=np.int16).reshape(2, 3, 5, 1), None)
    image.header.set_zooms((0.8, 0.6, 2.5, 1))
    shifted = AFFINE.copy()
    shifted[:3, 3] += 4
    for place, form, code in ((image.header.set_qform, AFFINE, codes[0]), (image.header.set_sform, shifted, codes[1])):
        if code:
            place(form, code)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "source.nii")
    source = nib.load(tmp_path / "source.nii")

    write_nifti_label(tmp_path / name, LABEL, read_nifti(tmp_path / "source.nii"))

    written = nib.load(tmp_path / name)
    assert written.shape == (2, 3, 5, 1) and written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asanyarray(written.dataobj)[..., 0], LABEL)
    for key in ("qform_code", "sform_code", "xyzt_units"):
        assert written.header[key] == source.header[key]
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
    np.testing.assert_allclose(written.get_qform(), source.get_qform(), atol=1e-5)
    np.testing.assert_allclose(written.header.get_zooms()[:3], source.header.get_zooms()[:3], rtol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name, "source.nii"})


def test_nifti_in_meters_is_written_in_meters(tmp_path):
    affine = AFFINE.copy()
    affine[:3] /= 1000
    image = nib.Nifti1Image(np.arange(30, dtype=np.int16).reshape(2, 3, 5), affine)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "source.nii")

    write_nifti_label(tmp_path / "l.nii", LABEL, read_nifti(tmp_path / "source.nii"))

    np.testing.assert_allclose(nib.load(tmp_path / "l.nii").affine, affine, atol=1e-7)


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal", "oblique", "negated column"])
def test_nifti_on_dicom_lies_where_nibabel_and_simpleitk_see_the_series(tmp_path, dicom_files, name):
    dicom_files.write_series(tmp_path / "series", orientation=dicom_files.ORIENTATIONS[name])
    volume = read_volume(tmp_path / "series")
    label = (volume.voxels > -700).astype(np.uint8)

    write_nifti_label(tmp_path / "l.nii.gz", label, volume)

    written, image = nib.load(tmp_path / "l.nii.gz"), SimpleITK.ReadImage(str(tmp_path / "l.nii.gz"))
    assert written.header["qform_code"] == written.header["sform_code"] == 1
    np.testing.assert_allclose(written.get_qform(), volume.grid.affine, atol=1e-4)
    np.testing.assert_allclose(written.get_sform(), volume.grid.affine, atol=1e-4)
    corner = image.TransformIndexToPhysicalPoint([size - 1 for size in image.GetSize()])
    np.testing.assert_allclose(np.array(corner) * (-1, -1, 1), volume.grid.corners_mm()[-1], atol=1e-3)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), label)


@pytest.mark.parametrize("name", ["l.mha", "l.nrrd"])
def test_itk_labels_read_back(tmp_path, volume, name):
    write_itk_label(tmp_path / name, LABEL, volume)

    back = read_itk(tmp_path / name)
    np.testing.assert_array_equal(back.voxels, LABEL)
    np.testing.assert_allclose(back.grid.affine, AFFINE, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(read_label_volume(tmp_path / name).voxels, LABEL)


def test_equal_labels_make_equal_files(tmp_path, volume):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti_label(tmp_path / name, LABEL, volume)

    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 4)])
def test_probabilities(tmp_path, volume, shape):
    probability = np.random.default_rng(0).random(shape)

    write_nifti_probability(tmp_path / "p.nii.gz", probability, volume)

    written = nib.load(tmp_path / "p.nii.gz")
    assert written.get_data_dtype() == np.float32
    np.testing.assert_allclose(written.get_fdata(), probability, rtol=1e-6)
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-6)


def test_wrong_labels_are_refused_and_leave_nothing(tmp_path, volume):
    with pytest.raises(ShapeError, match="volume's shape"):
        write_nifti_label(tmp_path / "l.nii", LABEL.transpose(2, 1, 0), volume)
    with pytest.raises(InputError, match="0 to 255, got 0 to 300"):
        write_nifti_label(tmp_path / "l.nii", np.where(LABEL == 1, 300, 0), volume)
    with pytest.raises(InputError, match="0 to 255"):
        write_itk_label(tmp_path / "l.mha", LABEL / 2, volume)
    with pytest.raises(ShapeError, match=r"must have shape \(2, 3, 5\)"):
        write_nifti_probability(tmp_path / "p.nii", np.zeros((3, 2, 5)), volume)
    for write, name in ((write_nifti_label, "l.png"), (write_itk_label, "l.mhd")):
        with pytest.raises(OutputError, match="must end in"):
            write(tmp_path / name, LABEL, volume)
    for write, name in ((write_nifti_label, "no/l.nii.gz"), (write_itk_label, "no/l.nrrd")):
        with pytest.raises(OutputError, match="could not be written"):
            write(tmp_path / name, LABEL, volume)
    assert list(tmp_path.iterdir()) == []


def test_whole_floats_are_class_ids(tmp_path, volume):
    nib.save(nib.Nifti1Image(LABEL.astype(np.float64), AFFINE), tmp_path / "l.nii")

    back = read_label_volume(tmp_path / "l.nii")

    np.testing.assert_array_equal(back.voxels, LABEL)
    assert back.voxels.dtype == np.uint8


@pytest.mark.parametrize("values", [LABEL + 0.5, LABEL.astype(float) - 1, np.full((2, 3, 5), np.nan)])
def test_images_are_no_labels(tmp_path, values):
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "l.nii")

    with pytest.raises(InputError, match="class ids"):
        read_label_volume(tmp_path / "l.nii")


def test_unknown_format_is_no_label(tmp_path):
    with pytest.raises(InputError, match="label volume"):
        read_label_volume(tmp_path / "l.png")
