"""Stored pixels to values, the same for series, objects and images: padding, tables, palettes, broken counts."""

from __future__ import annotations

import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import ORIENTATIONS, SPACING, multiframe, normal, read_volume, save, stored_values, write_series
from dicom_series_builder import affine_of
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.io.image_file import find_images, read_image, require_grey
from monai_semigan.io.volume_input import find_volumes
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg
from monai_semigan.writers.terminology import segments_of_classes

STORED = stored_values(3, 20, 18)


def padded(value: int) -> np.ndarray:
    """The stored values with an asymmetric corner of padding."""
    return np.where((np.arange(20)[:, None] < 3) & (np.arange(18) < 5), value, STORED.astype(np.int64))


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (63536, {"PixelPaddingValue": 63536}),
        (0, {"PixelPaddingValue": 0}),
        (60000, {"PixelPaddingValue": 59000, "PixelPaddingRangeLimit": 61000}),
        (60000, {"PixelPaddingValue": 61000, "PixelPaddingRangeLimit": 59000}),
        (-2000, {"PixelPaddingValue": -2000, "PixelRepresentation": 1}),
    ],
)
def test_padding_is_air_in_a_series_and_background_in_an_image(tmp_path, value, tags):
    pixels = padded(value)

    def edit(dataset: Dataset, at: int) -> None:
        for keyword in sorted(tags, reverse=True):  # the representation first
            dataset.add_new(keyword, "SS" if value < 0 and keyword != "PixelRepresentation" else "US", tags[keyword])
        dataset.PixelData = pixels[at].astype(np.int16 if value < 0 else np.uint16).tobytes()

    paths = write_series(tmp_path, STORED, edit=edit)

    expected = STORED.astype(int) - 1024
    expected[:, :3, :5] = -1000
    np.testing.assert_array_equal(read_volume(tmp_path).voxels.T, expected)
    image = read_image(paths[1]).pixels
    expected[1, :3, :5] = (STORED[1].astype(int) - 1024)[pixels[1] != value].min()
    np.testing.assert_array_equal(image, expected[1])


def test_padding_of_the_other_sign_is_the_same_word(tmp_path):
    """63536 written for signed pixels is -2000 (dcm2niix 262)."""

    def edit(dataset: Dataset, at: int) -> None:
        dataset.PixelRepresentation = 1
        dataset.add_new("PixelPaddingValue", "US", 63536)
        dataset.PixelData = padded(-2000)[at].astype(np.int16).tobytes()

    write_series(tmp_path, STORED, edit=edit)

    assert (read_volume(tmp_path).voxels[:5, :3] == -1000).all()


def test_a_modality_table_is_read_in_series_and_images(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4000, 100, 16], "HU"
    values = (np.arange(4000) // 2).astype(np.uint16)
    table.add_new("LUTData", "OW", values.tobytes())

    def edit(dataset: Dataset, at: int) -> None:
        del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
        dataset.ModalityLUTSequence = [table]

    paths = write_series(tmp_path, STORED[:, :10, :12], edit=edit)

    np.testing.assert_array_equal(read_volume(tmp_path).voxels.T, (STORED[:, :10, :12] - 100) // 2)
    dataset = pydicom.dcmread(paths[0])
    dataset.Rows, dataset.Columns, dataset.PixelData = 20, 18, STORED[0].tobytes()
    dataset.save_as(paths[0])
    np.testing.assert_array_equal(read_image(paths[0]).pixels, (STORED[0] - 100) // 2)


@pytest.mark.parametrize("kind", ["8 bits", "8 bits in words", "16 bits", "16 bits called 8"])
def test_palettes_of_8_and_16_bits(tmp_path, kind):
    levels = (np.arange(256) * 7 % 256).astype(np.uint8)
    indices = (np.arange(20 * 18).reshape(20, 18) % 256).astype(np.uint8)
    words = levels if kind == "8 bits" else levels.astype(np.uint16) * (257 if kind.startswith("16") else 1)

    def edit(dataset: Dataset, at: int) -> None:
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.PixelData = indices.tobytes()
        for color in ("Red", "Green", "Blue"):
            descriptor = [256, 0, 16 if kind == "16 bits" else 8]
            setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", descriptor)
            setattr(dataset, f"{color}PaletteColorLookupTableData", words.tobytes())

    source = read_image(write_series(tmp_path, STORED[:1], edit=edit)[0])

    assert source.photometric == "RGB" and source.pixels.dtype == np.uint8
    np.testing.assert_array_equal(require_grey(source).pixels, levels[indices])


@pytest.mark.parametrize("explicit", [True, False])
def test_files_without_a_preamble_are_read(tmp_path, explicit):
    paths = write_series(tmp_path / "source", STORED)
    for path in paths:
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        pydicom.dcmwrite(path, dataset, implicit_vr=not explicit, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[:2] == b"\x08\x00"

    np.testing.assert_array_equal(read_volume(tmp_path / "source").voxels.T, STORED.astype(int) - 1024)
    np.testing.assert_array_equal(read_image(paths[0]).pixels, STORED[0].astype(int) - 1024)
    assert find_images([tmp_path / "source"]) == sorted(paths)
    (tmp_path / "source" / "text").write_text("\b\0 no DICOM")
    assert len(find_images([tmp_path / "source"])) == 3


def test_damaged_deflation_is_one_line(tmp_path):
    paths = write_series(tmp_path, STORED)
    dataset = pydicom.dcmread(paths[0])
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(paths[0])
    np.testing.assert_array_equal(read_image(paths[0]).pixels, STORED[0].astype(int) - 1024)
    paths[0].write_bytes(paths[0].read_bytes()[:-200])

    with pytest.raises(InputError, match="must be a complete DICOM file, but is damaged") as caught:
        read_image(paths[0])
    assert caught.value.__cause__ is None and not isinstance(caught.value, zlib.error)


class TestFrameCounts:
    def write(self, tmp_path, **values):
        positions = np.arange(3)[:, None] * SPACING[2] * normal(ORIENTATIONS["axial"])
        dataset = multiframe(STORED, positions=positions, orientation=ORIENTATIONS["axial"])
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return save(dataset, tmp_path / "frames.dcm")

    @pytest.mark.parametrize("count", [100_000_000, 9_999, 4])
    def test_more_frames_than_bytes_are_refused_at_once(self, tmp_path, count):
        path = self.write(tmp_path, NumberOfFrames=count)

        reason = rf"{count:,} (are declared, more than its bytes hold|declared and about 3 present)"
        for read in (read_volume, read_image):
            with pytest.raises((InputError, GeometryError), match=reason if count != 4 else "declared|got 4|no Image"):
                read(path)

    def test_more_pixels_than_frames_are_refused(self, tmp_path):
        path = self.write(tmp_path, PixelData=np.concatenate([STORED, STORED[:1]]).tobytes())

        with pytest.raises(InputError, match="got 3 declared and about 4 present"):
            read_volume(path)

    def test_a_count_that_is_no_number_is_that_of_the_frames(self, tmp_path):
        path = self.write(tmp_path)
        dataset = pydicom.dcmread(path)
        del dataset.NumberOfFrames
        dataset.save_as(path)

        assert read_volume(path).voxels.shape == (18, 20, 3)

    def test_padding_of_frames_is_outside(self, tmp_path):
        values = padded(63536).astype(np.uint16)
        path = self.write(tmp_path, PixelData=values.tobytes(), PixelPaddingValue=63536)

        assert (read_volume(path).voxels[:5, :3] == 0).all()


def test_cosines_of_three_digits_give_a_volume_and_a_seg(tmp_path):
    """As scanners round: 0.94 and 0.342 are no unit vector to 1e-4."""
    cosines = [f"{value:.3f}" for value in ORIENTATIONS["oblique"]]
    write_series(
        tmp_path / "ct",
        STORED,
        orientation=ORIENTATIONS["oblique"],
        edit=lambda dataset, _: setattr(dataset, "ImageOrientationPatient", cosines),
    )
    (candidate,) = find_volumes([tmp_path / "ct"])
    assert candidate.series.fault is None
    volume = candidate.load()
    label = np.zeros(volume.voxels.shape, dtype=np.uint8)
    label[3:7, 2, 1:] = 1

    path = write_dicom_seg(
        tmp_path / "seg.dcm",
        label,
        volume,
        segments=segments_of_classes(["background", "liver"], [(0, 0, 0), (1, 2, 3)]),
        algorithm=AlgorithmInfo(name="a", version="1", digest="ab"),
    )

    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    written = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    np.testing.assert_allclose(written @ written.T, np.eye(2), atol=1e-9)
    expected = affine_of(ORIENTATIONS["oblique"])[:3, :2] / SPACING[:2]
    np.testing.assert_allclose(written.T, expected, atol=1e-3)


@pytest.mark.parametrize("spacing_mm", [0.2, 0.3, 0.35])
def test_thin_slices_at_rounded_positions_get_a_seg_too(tmp_path, spacing_mm):
    """One rule of evenness: what was read is written."""

    def edit(dataset: Dataset, at: int) -> None:
        dataset.ImagePositionPatient = ["0", "0", f"{at * spacing_mm:.2f}"]

    write_series(tmp_path / "ct", stored_values(9, 20, 18), edit=edit, SliceThickness=str(spacing_mm))
    volume = read_volume(tmp_path / "ct")
    label = np.ones(volume.voxels.shape, dtype=np.uint8)

    path = write_dicom_seg(
        tmp_path / "seg.dcm",
        label,
        volume,
        segments=segments_of_classes(["background", "liver"], [(0, 0, 0), (1, 2, 3)]),
        algorithm=AlgorithmInfo(name="a", version="1", digest="ab"),
    )

    assert len(pydicom.dcmread(path).PerFrameFunctionalGroupsSequence) == 9


def test_what_was_read_does_not_show_the_patient_when_printed(tmp_path):
    path = write_series(tmp_path, STORED)[0]

    assert "Secret" not in repr(read_image(path)) + repr(read_volume(tmp_path)) + repr(find_volumes([tmp_path]))


def test_a_private_transfer_syntax_is_not_quoted(tmp_path):
    path = write_series(tmp_path, STORED)[0]
    content = path.read_bytes()
    uid = str(ExplicitVRLittleEndian).encode()
    path.write_bytes(content.replace(uid + b"\0", b"1.2.840.4711Secret.9"[: len(uid) + 1], 1))

    with pytest.raises(InputError) as caught:
        read_image(path)
    assert "Secret" not in str(caught.value)
