"""NIfTI: values, place, and files that are refused."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.io import limits
from monai_semigan.io.label_volume import read_label_volume, write_nifti_label
from monai_semigan.io.nifti_volume import nifti_size, read_nifti

VALUES = (np.arange(2 * 3 * 5) - 7).reshape(2, 3, 5).astype(np.int16)
AFFINE = np.array([[-0.8, 0.0, 0.1, 12.0], [0.0, 0.7, 0.0, -30.0], [0.1, 0.0, 2.5, 5.0], [0, 0, 0, 1]])


def save(tmp_path, values=VALUES, affine=AFFINE, name="x.nii.gz", edit=None):
    image = nib.Nifti1Image(values, affine)
    if edit is not None:
        edit(image.header)
    path = tmp_path / name
    nib.save(image, path)
    return path


def patched(path, offset: int, values: np.ndarray):
    """Change bytes of an uncompressed header, which nibabel would not let pass."""
    content = bytearray(path.read_bytes())
    content[offset : offset + values.nbytes] = values.tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_types_without_scaling_are_kept(tmp_path, dtype):
    volume = read_nifti(save(tmp_path, VALUES.astype(dtype)))

    np.testing.assert_array_equal(volume.voxels, VALUES.astype(dtype))
    assert volume.voxels.dtype == dtype
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    assert volume.name == "x" and volume.modality is None and volume.warnings == ()


def test_scaled_integers_are_scaled(tmp_path):
    path = save(tmp_path, name="x.nii")
    patched(path, 112, np.array([2, -1024], dtype="<f4"))  # scl_slope, scl_inter

    volume = read_nifti(path)

    np.testing.assert_array_equal(volume.voxels, VALUES * 2.0 - 1024)
    assert volume.voxels.dtype == np.float32


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", "<f8", ">f8"])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_values_are_those_that_nibabel_reads(tmp_path, name, dtype, kind):
    values = np.random.default_rng(0).normal(size=(90, 80, 75)) * 900  # more than is read at a time
    image = kind(values, AFFINE, kind.header_class(endianness=dtype[0]))
    image.set_data_dtype(np.dtype(dtype))  # nibabel chooses slope and intercept for integers
    nib.save(image, tmp_path / name)

    volume = read_nifti(tmp_path / name)

    np.testing.assert_array_equal(volume.voxels, nib.load(tmp_path / name).get_fdata().astype(np.float32))


def test_trailing_axes_of_size_1_are_dropped_and_remembered(tmp_path):
    volume = read_nifti(save(tmp_path, VALUES[..., None, None]))

    assert volume.voxels.shape == (2, 3, 5) and volume.origin.shape == (2, 3, 5, 1, 1)
    np.testing.assert_array_equal(volume.voxels, VALUES)


@pytest.mark.parametrize("shape", [(2, 3, 5, 2), (2, 15), (2, 3, 1, 5)])
def test_other_dimensions_are_refused(tmp_path, shape):
    with pytest.raises(InputError, match="one 3-D volume, got shape"):
        read_nifti(save(tmp_path, np.resize(VALUES, shape)))


def test_sform_is_used_and_a_different_qform_is_warned_of(tmp_path):
    other = AFFINE.copy()
    other[0, 3] += 7

    def edit(header):
        header.set_qform(other, 1)
        header.set_sform(AFFINE, 1)

    volume = read_nifti(save(tmp_path, affine=None, edit=edit))

    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    assert "qform and sform disagree by up to 7" in volume.warnings[0] and "sform was used" in volume.warnings[0]
    assert volume.origin.qform[1] == volume.origin.sform[1] == 1


def test_qform_is_used_without_sform(tmp_path):
    affine = np.diag([-2.0, 3.0, 4.0, 1.0])

    def edit(header):
        header.set_qform(affine, 1)

    volume = read_nifti(save(tmp_path, affine=None, edit=edit))

    np.testing.assert_allclose(volume.grid.affine, affine, atol=1e-6)
    assert volume.origin.sform == (None, 0) and volume.warnings == ()


def test_neither_form_is_warned_of(tmp_path):
    volume = read_nifti(save(tmp_path, affine=None, edit=lambda header: header.set_zooms((2, 3, 4))))

    assert volume.grid.spacing_mm == (2, 3, 4)
    assert "guessed" in volume.warnings[0]


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1000), ("micron", 0.001)])
def test_units_become_millimeters(tmp_path, unit, scale):
    affine = AFFINE.copy()
    affine[:3] /= scale

    volume = read_nifti(save(tmp_path, affine=affine, edit=lambda header: header.set_xyzt_units(unit)))

    np.testing.assert_allclose(volume.grid.affine, AFFINE, rtol=1e-5)
    assert "unit" in volume.warnings[0]


@pytest.mark.parametrize("value", [0.0, -0.7, np.nan])
def test_spacing_must_be_positive(tmp_path, value):
    path = patched(save(tmp_path, name="x.nii"), 76 + 8, np.array([value], dtype="<f4"))  # pixdim[2]

    with pytest.raises(GeometryError, match=r"`x\.nii` must have a spacing above 0"):
        read_nifti(path)


@pytest.mark.parametrize("column", [(0, 0, 0), (-0.8, 0, 0.1)])
def test_singular_affine_is_refused(tmp_path, column):
    affine = AFFINE.copy()
    affine[:3, 2] = column
    path = save(tmp_path, name="x.nii")
    patched(path, 280, affine[:3].astype("<f4"))  # srow_x, srow_y, srow_z

    with pytest.raises(GeometryError, match=r"`x\.nii`"):
        read_nifti(path)


def test_nan_is_refused_with_its_count(tmp_path):
    values = VALUES.astype(np.float32)
    values[0, 0, :2] = np.nan, np.inf

    with pytest.raises(InputError, match="2 of 30 voxels are NaN or infinite"):
        read_nifti(save(tmp_path, values))
    with pytest.raises(InputError, match="no number at all"):
        read_nifti(save(tmp_path, np.full_like(values, np.nan)))


def test_constant_volume_is_refused_unless_it_is_a_label(tmp_path):
    path = save(tmp_path, np.zeros_like(VALUES))

    with pytest.raises(InputError, match="every voxel is 0"):
        read_nifti(path)
    assert not read_nifti(path, is_label=True).voxels.any()


@pytest.mark.parametrize("keep", [20, 200, 400, -4])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_truncated_files_are_refused(tmp_path, name, keep):
    rng = np.random.default_rng(0)
    path = save(tmp_path, rng.integers(0, 999, (20, 20, 20)).astype(np.int16), name=name)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(InputError, match=rf"`{name}` must be .*(damaged|cut short)"):
        read_nifti(path)


def test_altered_gz_is_refused(tmp_path):
    path = save(tmp_path, np.arange(8000, dtype=np.int16).reshape(20, 20, 20))
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # of the checksum
    path.write_bytes(content)

    with pytest.raises(InputError, match="damaged"):
        read_nifti(path)


def test_gz_that_holds_more_than_its_header_says_is_refused(tmp_path):
    path = save(tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(5_000_000)))

    with pytest.raises(InputError, match="more than its header says"):
        read_nifti(path)


def test_other_content_and_missing_files_are_refused(tmp_path):
    (tmp_path / "x.nii").write_text("hello" * 100)
    with pytest.raises(InputError, match="damaged"):
        read_nifti(tmp_path / "x.nii")
    with pytest.raises(InputError, match="does not exist"):
        read_nifti(tmp_path / "y.nii")


def test_complex_and_color_values_are_refused(tmp_path):
    with pytest.raises(InputError, match="one real number per voxel"):
        read_nifti(save(tmp_path, VALUES.astype(np.complex64)))
    color = np.zeros((2, 3, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="one real number per voxel"):
        read_nifti(save(tmp_path, color))


def test_20_000_slices_are_refused_from_the_header(tmp_path):
    path = patched(save(tmp_path, name="x.nii"), 40 + 6, np.array([20_000], dtype="<i2"))  # dim[3]
    assert limits.MAX_SLICES < 20_000

    with pytest.raises(InputError, match="2 x 3 x 20000"):
        read_nifti(path)


QUATERN_B, QFORM_CODE, QOFFSET = 256, 252, 268
"""Places in a header (nifti1.h)."""


@pytest.mark.parametrize("handed", [1, -1])
def test_qforms_are_those_of_nibabel(tmp_path, handed):
    rng = np.random.default_rng(0)
    for _ in range(9):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * (0.8, 0.7, 2.5)
        affine[:3, 2] *= handed
        affine[:3, 3] = rng.normal(size=3) * 50
        path = save(tmp_path, affine=None, edit=lambda header, affine=affine: header.set_qform(affine, 1))

        np.testing.assert_allclose(read_nifti(path).grid.affine, nib.load(path).affine, atol=1e-4)


def test_a_rounded_quaternion_is_normalized(tmp_path):
    path = save(tmp_path, affine=None, name="x.nii", edit=lambda header: header.set_qform(np.eye(4), 1))
    patched(path, QUATERN_B, np.array([0.7072, 0.7072, 0], dtype="<f4"))  # squares of 1.0003

    np.testing.assert_allclose(read_nifti(path).grid.affine[:3, :3], [[0, 1, 0], [1, 0, 0], [0, 0, -1]], atol=1e-6)


@pytest.mark.parametrize("components", [(9.0, 0, 0), (np.nan, 0, 0), (np.inf, 0, 0)])
def test_a_broken_qform_is_ignored_beside_a_sform(tmp_path, components):
    def edit(header):
        header.set_qform(AFFINE, 1)
        header.set_sform(AFFINE, 1)

    path = patched(save(tmp_path, affine=None, name="x.nii", edit=edit), QUATERN_B, np.array(components, dtype="<f4"))

    volume = read_nifti(path)

    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-6)
    assert volume.warnings == ("The header's qform is no rotation: the sform was used.",)
    assert volume.origin.qform == (None, 0)
    write_nifti_label(tmp_path / "l.nii", np.zeros((2, 3, 5), dtype=np.uint8), volume)
    np.testing.assert_allclose(read_nifti(tmp_path / "l.nii", is_label=True).grid.affine, AFFINE, atol=1e-6)
    patched(path, QFORM_CODE + 2, np.array([0], dtype="<i2"))  # no sform
    with pytest.raises(GeometryError, match="qform that is a rotation"):
        read_nifti(path)


def test_the_content_says_whether_a_file_is_compressed(tmp_path):
    path = save(tmp_path)
    (tmp_path / "packed.nii").write_bytes(path.read_bytes())
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(path.read_bytes()))
    (tmp_path / "twice.nii.gz").write_bytes(
        gzip.compress(gzip.decompress(path.read_bytes())[:100])
        + gzip.compress(gzip.decompress(path.read_bytes())[100:])
    )

    for name in ("packed.nii", "plain.nii.gz", "twice.nii.gz"):
        np.testing.assert_array_equal(read_nifti(tmp_path / name).voxels, VALUES)
        assert nifti_size(tmp_path / name) == ((2, 3, 5), 2)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_more_voxels_than_bytes_are_refused_before_memory_is_taken(tmp_path, name):
    path = patched(save(tmp_path, name="x.nii"), 40, np.array([3, 9999, 9999, 30], dtype="<i2"))
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))

    with pytest.raises(InputError, match="cut short or declares too much"):
        read_nifti(tmp_path / name, is_label=True)


@pytest.mark.parametrize("place", [(108, 1e30), (108, np.nan), (108, 5.0), (116, np.nan)])
def test_fields_that_make_no_sense_are_refused(tmp_path, place):
    path = save(tmp_path, name="x.nii")
    if place[0] == 116:
        patched(path, 112, np.array([2], dtype="<f4"))

    with pytest.raises(InputError, match=r"`x\.nii` must"):
        read_nifti(patched(path, place[0], np.array([place[1]], dtype="<f4")))


def test_nan_is_background_in_labels(tmp_path):
    values = (VALUES % 3).astype(np.float32)
    values[0] = np.nan

    volume = read_label_volume(save(tmp_path, values))

    np.testing.assert_array_equal(volume.voxels, np.nan_to_num(values))
    assert volume.voxels.dtype == np.uint8
