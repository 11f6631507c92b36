"""DICOM series to volumes: where each voxel lies, and which value it has."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import read_volume
from highdicom.image import get_volume_from_series
from pydicom.uid import JPEG2000Lossless, RLELossless

from monai_semigan.errors import GeometryError, InputError

NAMES = ("axial", "coronal", "sagittal", "oblique", "negated column", "reversed order")


def series(tmp_path, dicom_files, name: str = "axial", **options):
    orientation = dicom_files.ORIENTATIONS[name]
    return dicom_files.write_series(
        tmp_path / "series", orientation=orientation, is_reversed=name == "reversed order", **options
    )


def lps(volume, indices: np.ndarray) -> np.ndarray:
    return volume.grid.to_mm(indices) * (-1, -1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_voxels_lie_where_the_standard_s_formula_puts_them(tmp_path, dicom_files, name):
    series(tmp_path, dicom_files, name)

    volume = read_volume(tmp_path / "series")

    assert volume.voxels.shape == volume.grid.shape == (7, 6, 5)
    for at, path in enumerate(volume.origin.files):  # PS3.3 C.7.6.2.1.1
        dataset = pydicom.dcmread(path)
        cosines = np.array(dataset.ImageOrientationPatient, dtype=float)
        row_mm, column_mm = dataset.PixelSpacing
        for column, row in ((0, 0), (6, 0), (0, 5), (3, 4)):
            expected = np.array(dataset.ImagePositionPatient, dtype=float)
            expected += cosines[:3] * column_mm * column + cosines[3:] * row_mm * row
            np.testing.assert_allclose(lps(volume, np.array([[column, row, at]]))[0], expected, atol=1e-4)
            stored = int(dataset.pixel_array[row, column])
            assert volume.voxels[column, row, at] == stored - 1024


@pytest.mark.parametrize("name", NAMES)
def test_voxels_lie_where_simpleitk_puts_them(tmp_path, dicom_files, name):
    paths = series(tmp_path, dicom_files, name)
    reader = SimpleITK.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(tmp_path / "series"))
    assert len(names) == len(paths)
    reader.SetFileNames(names)
    image = reader.Execute()

    volume = read_volume(tmp_path / "series")

    assert image.GetSize() == volume.grid.shape
    values = SimpleITK.GetArrayFromImage(image)
    for index in np.ndindex(*volume.grid.shape):
        point = lps(volume, np.array([index]))[0]
        other = image.TransformPhysicalPointToIndex(point.tolist())
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(other), point, atol=1e-4)
        assert values[other[::-1]] == volume.voxels[index]


@pytest.mark.parametrize("name", NAMES)
def test_volume_equals_highdicom_s(tmp_path, dicom_files, name):
    paths = series(tmp_path, dicom_files, name)
    expected = get_volume_from_series([pydicom.dcmread(path) for path in paths])

    volume = read_volume(tmp_path / "series")

    same = highdicom.Volume(
        array=volume.voxels.transpose(2, 1, 0),
        affine=(np.diag([-1, -1, 1, 1]) @ volume.grid.affine)[:, [2, 1, 0, 3]],
        coordinate_system="PATIENT",
        frame_of_reference_uid=expected.frame_of_reference_uid,
    ).match_geometry(expected)
    np.testing.assert_array_equal(same.array, expected.array)
    np.testing.assert_allclose(same.affine, expected.affine, atol=1e-4)


def test_files_are_in_the_order_of_the_slices(tmp_path, dicom_files):
    paths = series(tmp_path, dicom_files)

    volume = read_volume(tmp_path / "series")

    assert volume.origin.files == tuple(paths) and volume.origin.slices == (0, 1, 2, 3, 4)
    assert not volume.origin.is_repaired and volume.warnings == ()
    assert volume.modality == "CT" and volume.name == "series"
    assert volume.origin.series_uid == pydicom.dcmread(paths[0]).SeriesInstanceUID


def test_more_files_than_are_read_at_once_keep_their_order(tmp_path, dicom_files):
    stored = dicom_files.stored_values(37, 4, 5)
    series(tmp_path, dicom_files, "coronal", pixels=stored)
    seen: list[tuple[int, int]] = []

    from monai_semigan.io.dicom.pixels import read_dicom_series
    from monai_semigan.io.dicom.series import find_series
    from monai_semigan.io.folder import files_in

    volume = read_dicom_series(
        find_series(files_in(tmp_path))[0], name="x", progress=lambda done, total: seen.append((done, total))
    )

    np.testing.assert_array_equal(volume.voxels, stored.transpose(2, 1, 0).astype(int) - 1024)
    assert seen[-1] == (37, 37)


def test_rescale_is_applied_per_slice(tmp_path, dicom_files):
    def edit(dataset, at):
        dataset.RescaleSlope, dataset.RescaleIntercept = str(at + 1), str(-10 * at)

    series(tmp_path, dicom_files, edit=edit)

    volume = read_volume(tmp_path / "series")

    stored = dicom_files.stored_values().astype(float)
    expected = stored * np.arange(1, 6)[:, None, None] - 10 * np.arange(5)[:, None, None]
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))
    assert volume.voxels.dtype == np.int16


@pytest.mark.parametrize("slope", ["0.5", "200"])
def test_values_beyond_whole_16_bit_numbers_become_float32(tmp_path, dicom_files, slope):
    def edit(dataset, at):
        dataset.RescaleSlope = slope if at == 3 else "1"

    series(tmp_path, dicom_files, edit=edit)

    volume = read_volume(tmp_path / "series")

    scale = np.where(np.arange(5) == 3, float(slope), 1)[:, None, None]
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(
        volume.voxels, (dicom_files.stored_values() * scale - 1024).transpose(2, 1, 0).astype(np.float32)
    )


def test_inverted_display_does_not_invert_values(tmp_path, dicom_files):
    series(tmp_path, dicom_files, PhotometricInterpretation="MONOCHROME1")

    assert read_volume(tmp_path / "series").voxels[0, 0, 0] == 100 - 1024


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_series(tmp_path, dicom_files, syntax):
    def edit(dataset, at):
        try:
            dataset.compress(syntax, generate_instance_uid=False)
        except (RuntimeError, NotImplementedError) as error:
            pytest.skip(f"no encoder here: {error}")

    series(tmp_path, dicom_files, pixels=dicom_files.stored_values(3, 40, 33), edit=edit)

    volume = read_volume(tmp_path / "series")

    np.testing.assert_array_equal(volume.voxels.T + 1024, dicom_files.stored_values(3, 40, 33))


def test_type_2_tags_and_uids_may_be_missing(tmp_path, dicom_files):
    def edit(dataset, at):
        for keyword in ("FrameOfReferenceUID", "SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "ImageType"):
            delattr(dataset, keyword)
        del dataset.PatientName, dataset.PatientID, dataset.SliceThickness, dataset.InstanceNumber

    paths = series(tmp_path, dicom_files, edit=edit)

    volume = read_volume(tmp_path / "series")

    assert volume.origin.files == tuple(paths)


def test_non_ascii_names_and_tags_with_separators(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path / "Übung 腹部", SeriesDescription="../../etc/Leber/\\x", PatientID="../../a/b")

    volume = read_volume(tmp_path / "Übung 腹部")

    assert volume.name == "Übung 腹部" and volume.voxels.shape == (7, 6, 5)


@pytest.mark.parametrize(("thickness", "expected"), [("4.0", 4.0), (None, 1.0)])
def test_a_single_slice_is_a_volume_with_a_warning(tmp_path, dicom_files, thickness, expected):
    series(tmp_path, dicom_files, pixels=dicom_files.stored_values(1), SliceThickness=thickness)

    volume = read_volume(tmp_path / "series")

    np.testing.assert_allclose(volume.grid.spacing_mm, (0.8, 0.6, expected))
    assert "single slice" in volume.warnings[0]


def test_rounded_cosines_and_positions_are_accepted(tmp_path, dicom_files):
    def edit(dataset, at):
        dataset.ImageOrientationPatient = [
            f"{float(value) + 2e-6 * at:.6f}" for value in dataset.ImageOrientationPatient
        ]
        dataset.ImagePositionPatient = [f"{float(value):.1f}" for value in dataset.ImagePositionPatient]

    series(tmp_path, dicom_files, "oblique", edit=edit)

    volume = read_volume(tmp_path / "series")

    directions = volume.grid.directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    assert abs(volume.grid.spacing_mm[2] - 2.5) < 0.05
    assert "beside the stack's axis" in volume.warnings[0]


def test_wrong_slice_spacing_in_the_header_is_overruled_by_positions(tmp_path, dicom_files):
    series(tmp_path, dicom_files, SpacingBetweenSlices="5")

    volume = read_volume(tmp_path / "series")

    assert volume.grid.spacing_mm[2] == pytest.approx(2.5)
    assert "5 mm apart, their positions 2.5 mm" in volume.warnings[0]


def test_lossy_compression_and_lost_rescale_are_warned_of(tmp_path, dicom_files):
    def edit(dataset, at):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    series(tmp_path, dicom_files, edit=edit, LossyImageCompression="01")

    warnings = " ".join(read_volume(tmp_path / "series").warnings)

    assert "with loss" in warnings and "may not be HU" in warnings


def test_truncated_pixels_name_the_file(tmp_path, dicom_files):
    paths = series(tmp_path, dicom_files)
    paths[2].write_bytes(paths[2].read_bytes()[:-20])

    with pytest.raises(InputError, match=rf"slice 3 \(`{paths[2].name}`.*could not be decoded") as caught:
        read_volume(tmp_path / "series")

    assert "Secret" not in str(caught.value)


def test_constant_series_is_refused(tmp_path, dicom_files):
    series(tmp_path, dicom_files, pixels=np.full((3, 6, 7), 7))

    with pytest.raises(InputError, match="every voxel is -1017"):
        read_volume(tmp_path / "series")


class TestMultiframe:
    ORDER = (3, 0, 4, 1, 2)

    def write(self, tmp_path, dicom_files, name="oblique", heights=None, edit=None):
        orientation = dicom_files.ORIENTATIONS[name]
        heights = np.array(self.ORDER) * 2.5 if heights is None else np.array(heights)
        positions = np.array(dicom_files.ORIGIN) + heights[:, None] * dicom_files.normal(orientation)
        dataset = dicom_files.multiframe(
            dicom_files.stored_values(len(heights)), positions=positions, orientation=orientation
        )
        if edit is not None:
            edit(dataset)
        return dicom_files.save(dataset, tmp_path / "frames.dcm")

    @pytest.mark.parametrize("name", NAMES)
    def test_frames_are_sorted_and_rescaled_one_by_one(self, tmp_path, dicom_files, name):
        path = self.write(tmp_path, dicom_files, name)

        volume = read_volume(path)

        assert volume.origin.files == (path,) and volume.modality == "MR"
        assert volume.origin.slices == self.ORDER
        stored = dicom_files.stored_values().astype(int)
        for at, place in enumerate(volume.origin.slices):
            np.testing.assert_array_equal(volume.voxels[:, :, place].T, stored[at] * (at + 1) + 5)

    def test_a_negative_pixel_spacing_is_refused_as_it_would_mirror_the_volume(self, tmp_path, dicom_files):
        def edit(dataset):
            dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["-0.7", "0.7"]

        path = self.write(tmp_path, dicom_files, edit=edit)

        with pytest.raises(GeometryError, match=r"frame 1 must have a pixel spacing above 0, got -0\.7 x 0\.7"):
            read_volume(path)

    def test_volume_equals_highdicom_s(self, tmp_path, dicom_files):
        path = self.write(tmp_path, dicom_files)
        expected = highdicom.imread(path).get_volume()

        volume = read_volume(path)

        affine = (np.diag([-1, -1, 1, 1]) @ volume.grid.affine)[:, [2, 1, 0, 3]]
        same = highdicom.Volume(
            array=volume.voxels.transpose(2, 1, 0),
            affine=affine,
            coordinate_system="PATIENT",
            frame_of_reference_uid=expected.frame_of_reference_uid,
        ).match_geometry(expected)
        np.testing.assert_array_equal(same.array, expected.array)
        np.testing.assert_allclose(same.affine, expected.affine, atol=1e-4)

    def test_several_frames_per_position_are_refused(self, tmp_path, dicom_files):
        path = self.write(tmp_path, dicom_files, heights=[0, 2.5, 5, 0, 2.5, 5])

        with pytest.raises(GeometryError, match=r"frame 1 and frame 4.*4-D"):
            read_volume(path)

    def test_several_orientations_are_refused(self, tmp_path, dicom_files):
        def edit(dataset):
            plane = pydicom.Dataset()
            plane.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
            dataset.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [plane]

        path = self.write(tmp_path, dicom_files, "axial", edit=edit)

        with pytest.raises(GeometryError, match="same orientation, but slice frame 2"):
            read_volume(path)

    def test_missing_frame_is_refused_also_with_repairs(self, tmp_path, dicom_files):
        from monai_semigan.io.dicom.repair import RepairOptions

        path = self.write(tmp_path, dicom_files, heights=[0, 2.5, 5, 10])

        with pytest.raises(GeometryError, match=r"frame 3 and frame 4 are 5\.000 mm"):
            read_volume(path)
        with pytest.raises(GeometryError, match="not repaired"):
            read_volume(path, repairs=RepairOptions(fill_missing=True))

    def test_frames_without_positions_are_refused(self, tmp_path, dicom_files):
        def edit(dataset):
            del dataset.PerFrameFunctionalGroupsSequence

        with pytest.raises(GeometryError, match="no ImagePositionPatient"):
            read_volume(self.write(tmp_path, dicom_files, edit=edit))
