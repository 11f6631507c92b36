"""From files to a SEG and back: the label of what was read lies where the bright voxels are, in every orientation."""

from __future__ import annotations

from pathlib import Path

import dicom_files
import numpy as np
import pydicom
import pytest
from dicom_series_builder import affine_of

from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg
from monai_semigan.writers.terminology import segments_of_classes

OPTIONS = {
    "segments": segments_of_classes(["background", "liver"], [(0, 0, 0), (221, 130, 101)]),
    "algorithm": AlgorithmInfo(name="a_bundle", version="1", digest="ab" * 32),
}

BRIGHT = np.zeros((18, 20, 5), dtype=np.uint8)  # columns, rows, slices; no flip and no swap leaves it alike
BRIGHT[1:4, 2:, 1:3] = BRIGHT[2:, 1, 2:] = BRIGHT[0, 0, -1] = 1


def pixels() -> np.ndarray:
    return np.where(BRIGHT.T > 0, 3000, 1024).astype(np.uint16)


def bright_places_mm(files: list[Path]) -> set[tuple[float, ...]]:
    """Where bright pixels of single-frame files lie, by the standard's formula (PS3.3 C.7.6.2.1.1), LPS+."""
    places = set()
    for file in files:
        dataset = pydicom.dcmread(file)
        cosines = np.array(dataset.ImageOrientationPatient, dtype=float)
        for row, column in np.argwhere(dataset.pixel_array > 2000):
            place = np.array(dataset.ImagePositionPatient, dtype=float)
            place += cosines[:3] * dataset.PixelSpacing[1] * column + cosines[3:] * dataset.PixelSpacing[0] * row
            places.add(tuple(np.round(place, 2) + 0.0))
    return places


def labelled_places_mm(path: Path) -> set[tuple[float, ...]]:
    import highdicom as hd

    read = hd.seg.segread(path).get_volume(combine_segments=True, allow_missing_positions=True)
    indices = np.argwhere(read.array)
    places = np.c_[indices, np.ones(len(indices))] @ read.affine.T
    return {tuple(place) for place in np.round(places[:, :3], 2) + 0.0}


@pytest.mark.parametrize("leave_out", [[], [2]], ids=["whole", "filled"])
@pytest.mark.parametrize("orientation", dicom_files.ORIENTATIONS)
def test_a_series(tmp_path, orientation, leave_out):
    files = dicom_files.write_series(
        tmp_path / "ct",
        pixels(),
        orientation=dicom_files.ORIENTATIONS[orientation],
        is_reversed=orientation == "reversed order",
        leave_out=leave_out,
    )
    volume = dicom_files.read_volume(tmp_path / "ct", RepairOptions(fill_missing=True) if leave_out else NO_REPAIRS)
    label = (volume.voxels > 500).astype(np.uint8)

    path = write_dicom_seg(tmp_path / "seg.dcm", label, volume, **OPTIONS)

    assert labelled_places_mm(path) == bright_places_mm(files)


def test_frames_in_any_order(tmp_path):
    order = np.array([3, 0, 4, 1, 2])
    axis = dicom_files.normal(dicom_files.ORIENTATIONS["oblique"])
    dataset = dicom_files.multiframe(
        pixels()[order],
        positions=np.array(dicom_files.ORIGIN) + 2.5 * order[:, None] * axis,
        orientation=dicom_files.ORIENTATIONS["oblique"],
    )
    volume = dicom_files.read_volume(dicom_files.save(dataset, tmp_path / "frames.dcm"))
    for group in dataset.PerFrameFunctionalGroupsSequence:  # each frame has a slope of its own
        assert group.PixelValueTransformationSequence[0].RescaleSlope > 0
    label = np.zeros(volume.voxels.shape, dtype=np.uint8)
    for frame, place in enumerate(volume.origin.slices):
        label[:, :, place] = volume.voxels[:, :, place] > 2000 * (frame + 1)
    np.testing.assert_array_equal(label, BRIGHT > 0)

    path = write_dicom_seg(tmp_path / "seg.dcm", label, volume, **OPTIONS)

    indices = np.argwhere(BRIGHT)
    places = np.c_[indices, np.ones(len(indices))] @ affine_of(dicom_files.ORIENTATIONS["oblique"]).T
    assert labelled_places_mm(path) == {tuple(place) for place in np.round(places[:, :3], 2) + 0.0}
