"""Values that are malformed, in any tag: unknown with a warning, or the case's refusal, and never quoted."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import put_text, read_volume, stored_values, write_series
from pydicom.datadict import dictionary_VR, tag_for_keyword

from monai_semigan.errors import GeometryError, InputError, SemiGanError
from monai_semigan.io.dicom.file import IMAGE_TAGS, REFERENCE_TAGS
from monai_semigan.io.image_file import read_image
from monai_semigan.io.volume_input import iter_volumes
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg, write_dicom_seg_2d
from monai_semigan.writers.terminology import segments_of_classes

SHAPE = (3, 20, 18)
PIXEL_TAGS = (
    "ImagerPixelSpacing", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation",
    "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter", "WindowWidth",
    "VOILUTSequence", "SpecificCharacterSet",
)  # fmt: skip
SHORT = ("CS", "DA", "DS", "IS", "LO", "PN", "SH", "SS", "TM", "UI", "US")
OPTIONS = {
    "segments": segments_of_classes(["background", "liver"], [(0, 0, 0), (221, 130, 101)]),
    "algorithm": AlgorithmInfo(name="a_bundle", version="1", digest="ab" * 32),
}


def segment_image(path: Path) -> object:
    source = read_image(path)
    label = np.eye(*source.pixels.shape[:2], dtype=np.uint8)
    write_dicom_seg_2d(path.parent.parent / "seg.dcm", label, source.header, **OPTIONS)
    return source.warnings


def segment_series(path: Path) -> object:
    failures: list[object] = []
    for candidate in iter_volumes([path.parent], on_failure=lambda *why: failures.append(why), unpack_to=path.parent):
        volume = candidate.load()
        label = np.ones(volume.voxels.shape, dtype=np.uint8)
        write_dicom_seg(path.parent.parent / "seg.dcm", label, volume, **OPTIONS)
        failures.append((volume.warnings, volume.modality, candidate.series.reason))
    return failures


def variants(path: Path, keyword: str) -> Iterator[Path]:
    """The file with text that no tag but a name may hold, of a right, a wrong and an unknown representation."""
    content, own = path.read_bytes(), dictionary_VR(tag_for_keyword(keyword))
    own = own if own in SHORT else "LO"
    for vr, text in ((own, "Secret^Name"), (own, "0.5\\Secret^Name"), ("ZZ", "Secret^Name")):
        path.write_bytes(content)
        yield put_text(path, keyword, text, vr=vr)


@pytest.mark.parametrize("keyword", [*REFERENCE_TAGS, *IMAGE_TAGS, *PIXEL_TAGS])
@pytest.mark.parametrize("read", [segment_image, segment_series])
def test_a_name_in_any_tag_neither_stops_nor_shows(
    keyword: str, read: Callable[[Path], object], tmp_path: Path, caplog, capfd
) -> None:
    caplog.set_level(logging.DEBUG)
    path = write_series(tmp_path / "source", stored_values(*SHAPE))[1]
    if keyword == "SpecificCharacterSet":
        pytest.skip("pydicom itself warns while the file is made")

    for changed in variants(path, keyword):
        try:
            said = repr(read(changed))
        except SemiGanError as error:
            said = "".join(traceback.format_exception(error))
        assert "Secret" not in said

    shown = capfd.readouterr()
    assert "Secret" not in caplog.text + shown.out + shown.err


@pytest.mark.parametrize(
    ("keyword", "text", "spacing", "warning"),
    [
        ("PixelSpacing", "0,5\\0,5", (0.3, 0.4), "PixelSpacing: malformed"),
        ("PixelSpacing", "0.5", (0.3, 0.4), "PixelSpacing: malformed"),
        ("PixelSpacing", "nan\\0.5", (0.3, 0.4), "PixelSpacing: malformed"),
        ("WindowCenter", "40,5", None, "WindowCenter: malformed"),
        ("WindowWidth", "1", None, "no wider than one value"),
        ("NumberOfFrames", "one", None, "NumberOfFrames: malformed"),
        ("PixelPaddingValue", "none", None, "PixelPaddingValue: malformed"),
        ("RescaleSlope", "", None, "RescaleSlope or RescaleIntercept holds no number"),
        ("RescaleIntercept", "0,5", None, "RescaleSlope or RescaleIntercept holds no number"),
    ],
)
def test_a_malformed_value_of_an_image_counts_as_unknown(tmp_path, keyword, text, spacing, warning):
    path = write_series(
        tmp_path, stored_values(1, 20, 18), edit=lambda dataset, _: setattr(dataset, "RescaleIntercept", "0")
    )[0]
    dataset = pydicom.dcmread(path)
    dataset.Modality, dataset.WindowCenter, dataset.WindowWidth = "DX", "300", "500"
    dataset.ImagerPixelSpacing = ["0.3", "0.4"]
    dataset.save_as(path)

    source = read_image(put_text(path, keyword, text, vr="LO"))

    np.testing.assert_array_equal(source.pixels, stored_values(1, 20, 18)[0])
    assert warning in " ".join(source.warnings)
    assert source.spacing_mm == (spacing or (0.6, 0.8))
    assert source.voi_window == (None if keyword.startswith("Window") else (300, 500))


def test_spacing_stored_as_text_is_read(tmp_path):
    for path in write_series(tmp_path, stored_values(*SHAPE)):
        put_text(path, "PixelSpacing", "0.7\\0.9", vr="LO")

    np.testing.assert_allclose(read_volume(tmp_path).grid.spacing_mm, (0.9, 0.7, 2.5))
    assert read_image(path).spacing_mm == (0.7, 0.9)


@pytest.mark.parametrize(
    ("keyword", "text", "reason"),
    [
        ("PixelSpacing", "0,5\\0,5", "slice 2 of 3 has no usable PixelSpacing. Correct it"),
        ("ImagePositionPatient", "1\\2", "slice 2 of 3 has no usable ImagePositionPatient"),
        ("RescaleSlope", "one", "Slice 2 must have a rescale slope and intercept that are numbers"),
        ("RescaleIntercept", "", "Slice 2 must have a rescale slope and intercept that are numbers"),
    ],
)
def test_a_series_is_refused_where_a_value_is_needed(tmp_path, keyword, text, reason):
    put_text(write_series(tmp_path, stored_values(*SHAPE))[1], keyword, text)

    with pytest.raises(GeometryError, match=reason):
        read_volume(tmp_path)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "PhotometricInterpretation"])
def test_a_missing_tag_is_named_as_dicom_names_it(tmp_path, keyword, caplog):
    for path in write_series(tmp_path, stored_values(*SHAPE)):
        dataset = pydicom.dcmread(path)
        del dataset[keyword]
        del dataset.file_meta.MediaStorageSOPClassUID
        dataset.save_as(path, enforce_file_format=False)

    if keyword == "SOPClassUID":
        with pytest.raises(InputError, match="SOPClassUID is missing"):
            list(iter_volumes([tmp_path], on_failure=pytest.fail, unpack_to=tmp_path))
        with pytest.raises(InputError, match="must have SOPClassUID: without, no DICOM result can refer to it"):
            segment_image(path)
    else:
        assert "PhotometricInterpretation is missing; MONOCHROME2 was assumed." in read_image(path).warnings
        np.testing.assert_array_equal(read_volume(tmp_path).voxels.T + 1024, stored_values(*SHAPE))
