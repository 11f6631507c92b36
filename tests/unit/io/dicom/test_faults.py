"""Faulty series: read right, or refused with the reason and the slices; repaired only on request."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import read_volume

from monai_semigan.errors import ConfigError, GeometryError
from monai_semigan.io.dicom import stack as dicom_stack
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions, fill_positions, straighten

FILL, STRAIGHTEN = RepairOptions(fill_missing=True), RepairOptions(tilt="resample")


def refused(folder, match: str, *, repairs: RepairOptions = NO_REPAIRS) -> None:
    with pytest.raises(GeometryError, match=match) as caught:
        read_volume(folder, repairs=repairs)
    assert "Secret" not in str(caught.value) and "\n" not in str(caught.value)


def moved(axis: int, millimeters: float, *, at: int | None = None):
    """An edit that shifts all slices (by a multiple of their index) or one of them along an axis."""

    def edit(dataset, index):
        if at is None or index == at:
            position = [float(value) for value in dataset.ImagePositionPatient]
            position[axis] += millimeters * (index if at is None else 1)
            dataset.ImagePositionPatient = [f"{value:.6f}" for value in position]

    return edit


def test_shuffled_instance_numbers_do_not_matter(tmp_path, dicom_files):
    def edit(dataset, at):
        dataset.InstanceNumber = (at * 3) % 5 + 1

    paths = dicom_files.write_series(tmp_path, edit=edit)

    assert read_volume(tmp_path).origin.files == tuple(paths)


def test_missing_instance_number_does_not_matter(tmp_path, dicom_files):
    def edit(dataset, at):
        if at == 2:
            del dataset.InstanceNumber

    paths = dicom_files.write_series(tmp_path, edit=edit)

    assert read_volume(tmp_path).origin.files == tuple(paths)


def test_missing_slices_are_refused_by_number(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, dicom_files.stored_values(12), leave_out=[3, 7, 8])

    refused(
        tmp_path, r"Slices 3 and 5; 7 and 10 are 5\.000, 7\.500 mm apart, the others 2\.500 mm: 3 slices are missing"
    )


def test_missing_slices_are_filled_with_the_nearest_on_request(tmp_path, dicom_files):
    stored = dicom_files.stored_values(12)
    paths = dicom_files.write_series(tmp_path, stored, leave_out=[3, 7, 8])

    volume = read_volume(tmp_path, repairs=FILL)

    expected = stored[[0, 1, 2, 2, 4, 5, 6, 6, 9, 9, 10, 11]].astype(int) - 1024
    np.testing.assert_array_equal(volume.voxels, expected.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.grid.spacing_mm[2], 2.5)
    assert volume.origin.is_repaired and volume.origin.files == tuple(paths)
    assert volume.origin.slices == (0, 1, 2, 4, 5, 6, 9, 10, 11) and not volume.origin.is_resampled
    assert "3 missing slices between 3 and 5; 7 and 10 were filled" in volume.warnings[0]


def test_duplicate_position_is_refused(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, edit=moved(2, 2.5, at=1))

    refused(tmp_path, r"slices 3 and 2 share one: several phases")


def test_copies_of_an_instance_are_refused(tmp_path, dicom_files):
    paths = dicom_files.write_series(tmp_path)
    (tmp_path / "copy").write_bytes(paths[1].read_bytes())

    refused(tmp_path, rf"slices `(copy|{paths[1].name})` and .* share one: copies of one instance")


@pytest.mark.parametrize("repairs", [NO_REPAIRS, FILL, STRAIGHTEN])
def test_two_series_under_one_uid_are_refused(tmp_path, dicom_files, repairs):
    uids = {"SeriesInstanceUID": "1.2.3.4", "FrameOfReferenceUID": "1.2.3.5"}
    dicom_files.write_series(tmp_path / "a", **uids)
    dicom_files.write_series(tmp_path / "b", origin=np.add(dicom_files.ORIGIN, (0, 0, 1.1)), **uids)

    refused(tmp_path, "must be evenly spaced", repairs=repairs)


@pytest.mark.parametrize("degrees", [15, -4, 1])
def test_gantry_tilt_is_refused_with_its_angle(tmp_path, dicom_files, degrees):
    shift = 2.5 * np.tan(np.radians(degrees))
    dicom_files.write_series(tmp_path, dicom_files.stored_values(30), edit=moved(1, shift))

    refused(tmp_path, rf"slices .* lie beside .*gantry tilt of {abs(degrees)}\.0 degrees.*--tilt resample")


def test_gantry_tilt_is_straightened_on_request(tmp_path, dicom_files):
    """A blob that stands straight in the patient stands straight in the volume, at its place."""
    num, rows, columns = 8, 40, 30
    shift = np.array([0.35, 0.9]) * (0.8, 0.6)  # per slice, along x and y, mm: fractions of pixels
    x, y = np.meshgrid(np.arange(columns) * 0.8, np.arange(rows) * 0.6)
    planes = [
        1000 + 800 * np.exp(-(((x + at * shift[0] - 13) / 3) ** 2) - (((y + at * shift[1] - 12) / 4) ** 2))
        for at in range(num)
    ]

    def edit(dataset, at):
        moved(0, shift[0])(dataset, at)
        moved(1, shift[1])(dataset, at)

    paths = dicom_files.write_series(tmp_path, np.array(planes).round(), origin=(0, 0, 0), edit=edit)

    volume = read_volume(tmp_path, repairs=STRAIGHTEN)

    assert volume.grid.is_orthogonal and volume.origin.is_resampled
    assert volume.voxels.dtype == np.int16 and volume.origin.files == tuple(paths)
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.8, 0.6, 2.5))
    assert volume.grid.shape[0] > columns and volume.grid.shape[1] > rows
    for at in range(num):
        weight = (volume.voxels[:, :, at] + 24.0).clip(5) - 5  # above the flat background of -24 HU
        i, j = (
            np.average(np.arange(size), weights=weight.sum(axis=1 - axis)) for axis, size in enumerate(weight.shape)
        )
        point = volume.grid.to_mm(np.array([[i, j, at]]))[0] * (-1, -1, 1)
        np.testing.assert_allclose(point, (13, 12, 2.5 * at), atol=0.1)
    assert volume.voxels.min() >= -1000
    assert "tilt" in volume.warnings[0]


def test_both_repairs_together(tmp_path, dicom_files):
    dicom_files.write_series(tmp_path, dicom_files.stored_values(8), leave_out=[4], edit=moved(1, 0.6))

    volume = read_volume(tmp_path, repairs=RepairOptions(fill_missing=True, tilt="resample"))

    assert volume.grid.shape[2] == 8 and 4 not in volume.origin.slices
    first = volume.grid.to_mm(np.array([[0, 0, 0]]))[0]
    np.testing.assert_allclose(first * (-1, -1, 1), dicom_files.ORIGIN, atol=1e-9)
    np.testing.assert_array_equal(  # shifts of whole pixels are exact
        volume.voxels[:, 5:11, 5].T, dicom_files.stored_values(8)[5].astype(int) - 1024
    )


def change(keyword: str, value: object, at: int = 2):
    def edit(dataset, index):
        if index == at:
            setattr(dataset, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (change("PixelSpacing", [0.6, 0.9]), r"same pixel spacing, but slice 3 has 0\.6 x 0\.9"),
        (change("RescaleType", "US"), "same unit of values, but slice 3 has US where 4 others have HU"),
        (change("RescaleSlope", None), "Slice 3 must have a rescale slope and intercept that are numbers"),
        (change("RescaleSlope", "0"), "Slice 3 must have a rescale slope other than 0"),
        (change("ImagePositionPatient", None), "slice 3 of 5 has no ImagePositionPatient"),
        (change("PixelSpacing", None), "slice 3 of 5 has no PixelSpacing"),
        (change("ImageOrientationPatient", None), "slice 3 of 5 has no ImageOrientationPatient"),
        (change("ImageOrientationPatient", None, at=4), "slice 5 of 5 has no ImageOrientationPatient"),
        (moved(2, 0.9, at=2), r"slices 2 and 3; 3 and 4 are 3\.400, 1\.600 mm apart"),
        (moved(0, 4, at=3), "slice 4 lie beside"),
    ],
)
def test_slices_that_differ_are_refused(tmp_path, dicom_files, edit, reason):
    dicom_files.write_series(tmp_path, edit=edit)

    refused(tmp_path, reason)


def test_mixed_sizes_are_refused(tmp_path, dicom_files):
    def edit(dataset, at):
        if at == 4:
            dataset.Rows, dataset.PixelData = 3, dataset.PixelData[: 3 * 7 * 2]

    dicom_files.write_series(tmp_path, edit=edit)

    refused(tmp_path, "same size, but slice 5 has 7 x 3 where 4 others have 7 x 6")


def test_mixed_orientation_leaves_a_gap_that_is_refused(tmp_path, dicom_files):
    from monai_semigan.io.dicom.series import find_series
    from monai_semigan.io.folder import files_in

    dicom_files.write_series(tmp_path, edit=change("ImageOrientationPatient", [0, 1, 0, 0, 0, -1]))

    found = find_series(files_in(tmp_path))

    assert [series.info.part for series in found] == [(1, 2), (2, 2)]
    assert "missing" in found[0].info.fault


@pytest.mark.parametrize("repairs", [NO_REPAIRS, STRAIGHTEN])
def test_a_pixel_spacing_of_zero_is_refused_and_no_gantry_tilt(tmp_path, dicom_files, repairs):
    dicom_files.write_series(tmp_path, edit=lambda dataset, at: setattr(dataset, "PixelSpacing", [0, 0.7]))

    refused(tmp_path, r"Slice 1 must have a pixel spacing above 0, got 0 x 0\.7", repairs=repairs)


@pytest.mark.parametrize("cosines", [[1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 1, 0]])
def test_impossible_cosines_are_refused(tmp_path, dicom_files, cosines):
    dicom_files.write_series(
        tmp_path, ImageType=["ORIGINAL"], edit=lambda dataset, at: setattr(dataset, "ImageOrientationPatient", cosines)
    )

    refused(tmp_path, "perpendicular unit vectors")


def test_too_many_slices_are_refused_before_pixels_are_read(dicom_files, tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_stack, "MAX_SLICES", 4)
    for path in dicom_files.write_series(tmp_path):
        path.write_bytes(path.read_bytes()[:-30])  # pixels that cannot be decoded

    refused(tmp_path, "at most 4 slices, got 5")


def test_20_000_headers_are_planned_and_refused_without_files(dicom_files, tmp_path):
    from dataclasses import replace

    from monai_semigan.io.dicom.headers import find_frames

    (first,) = find_frames(dicom_files.write_series(tmp_path, dicom_files.stored_values(1)))
    frames = [replace(first, position_mm=(0.0, 0.0, 0.1 * at), instance_number=at) for at in range(20_000)]

    with pytest.raises(GeometryError, match="at most 10,000 slices, got 20,000"):
        dicom_stack.plan_stack(frames)
    assert dicom_stack.plan_stack(frames[:10_000]).grid.shape == (7, 6, 10_000)


def test_filling_takes_the_nearest_and_of_two_the_lower():
    np.testing.assert_array_equal(fill_positions(np.array([0, 2, 5])), [0, 0, 1, 1, 2, 2])


def test_straightening_by_whole_pixels_only_moves():
    plane = np.arange(6.0).reshape(2, 3)

    moved_plane = straighten(plane, np.array([2.0, 1.0]), size=(4, 6), outside=-9)

    np.testing.assert_array_equal(moved_plane[1:3, 2:5], plane)
    assert (moved_plane == -9).sum() == 18


def test_unknown_repair_is_refused():
    with pytest.raises(ConfigError, match="tilt"):
        RepairOptions(tilt="ignore")
