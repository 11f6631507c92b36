# SPDX-License-Identifier: Apache-2.0
"""Outlines as a presentation state."""

from __future__ import annotations

import subprocess

import numpy as np
import pydicom
import pytest
from dicom_files import CT
from dicom_objects import SOURCES, contours, of_image, of_volume
from dicom_seg_check import SEGMENTS
from dicom_series_builder import write_image, write_series
from skimage.draw import polygon2mask

from monai_semigan.errors import OutputError


def drawn(state: pydicom.Dataset, uid: str, shape: tuple[int, int], frame: int | None = None) -> np.ndarray:
    """Class ids that the outlines over an image enclose."""
    label = np.zeros(shape, dtype=np.uint8)
    for annotation in state.GraphicAnnotationSequence:
        (image,) = annotation.ReferencedImageSequence
        if image.ReferencedSOPInstanceUID == uid and image.get("ReferencedFrameNumber") == frame:
            for item in annotation.GraphicObjectSequence:
                points = np.array(item.GraphicData).reshape(item.NumberOfGraphicPoints, 2)
                assert (item.GraphicType, item.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
                label[polygon2mask(shape, points[:, ::-1] - 0.5)] = int(annotation.GraphicLayer.split()[-1])
    return label


@pytest.mark.parametrize("source", ["CT", "oblique CT", "DX", "dermoscopy", "enhanced MR"])
def test_the_outlines_enclose_the_label(tmp_path, source):
    case = SOURCES[source](tmp_path / "source")

    made = pydicom.dcmread(contours(tmp_path / "made.dcm", case))

    for at, frame in enumerate(case.place.frames(case.label)):
        is_multiframe = source == "enhanced MR"
        uid = case.headers[0 if is_multiframe else at].SOPInstanceUID
        found = drawn(made, uid, frame.shape, at + 1 if is_multiframe else None)
        np.testing.assert_array_equal(found, frame)
    references = made.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert len(references) == len(case.headers)


def test_layers_say_the_class_and_its_color(tmp_path):
    made = pydicom.dcmread(contours(tmp_path / "made.dcm", SOURCES["CT"](tmp_path)))

    layers = made.GraphicLayerSequence
    assert [item.GraphicLayer for item in layers] == ["CLASS 1", "CLASS 2"]
    assert [item.GraphicLayerDescription for item in layers] == [
        f"{item.name}: AI result - research only" for item in SEGMENTS
    ]
    assert layers[0].GraphicLayerRecommendedDisplayCIELabValue != layers[1].GraphicLayerRecommendedDisplayCIELabValue


def test_an_empty_label_has_none(tmp_path):
    case = SOURCES["CT"](tmp_path / "source")
    case.label[:] = 0

    assert contours(tmp_path / "made.dcm", case) is None
    assert not (tmp_path / "made.dcm").exists()


def test_the_image_is_shown_as_before(tmp_path):
    values = {"RescaleSlope": "2", "RescaleIntercept": "-1024", "RescaleType": "HU", "WindowCenter": ["40", "500"]}
    case = of_volume(write_series(tmp_path / "s", WindowWidth=["400", "2000"], **values))

    made = pydicom.dcmread(contours(tmp_path / "made.dcm", case))

    assert (made.RescaleSlope, made.RescaleIntercept, made.RescaleType) == (2, -1024, "HU")
    (shown,) = made.SoftcopyVOILUTSequence
    assert (shown.WindowCenter, shown.WindowWidth) == (40, 400) and "ReferencedImageSequence" not in shown
    (area,) = made.DisplayedAreaSelectionSequence
    assert area.PresentationPixelSpacing == case.headers[0].PixelSpacing
    assert [*area.DisplayedAreaBottomRightHandCorner] == [7, 6]
    assert made.PresentationLUTShape == "IDENTITY"


def test_slices_keep_windows_of_their_own(tmp_path):
    case = of_volume(write_series(tmp_path / "s"))
    for at, header in enumerate(case.headers):
        if at != 3:
            header.WindowCenter, header.WindowWidth = 40 + at % 2, 400

    shown = pydicom.dcmread(contours(tmp_path / "made.dcm", case)).SoftcopyVOILUTSequence

    numbers = {(item.WindowCenter, item.WindowWidth): len(item.ReferencedImageSequence) for item in shown}
    assert numbers == {(40, 400): 3, (41, 400): 1, (100, 400): 1}  # the last is the usual one


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
def test_slices_that_are_rescaled_differently_are_refused(tmp_path, name):
    case = of_volume(write_series(tmp_path / "s", RescaleSlope="1", RescaleIntercept="0"))
    setattr(case.headers[2], name, "7")

    with pytest.raises(OutputError, match="rescaled alike"):
        contours(tmp_path / "made.dcm", case)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"PresentationPixelAspectRatio": [1, 1]}),
        ({"PixelAspectRatio": ["3", "2"]}, {"PresentationPixelAspectRatio": [3, 2]}),
        ({"ImagerPixelSpacing": [0.2, 0.3]}, {"PresentationPixelSpacing": [0.2, 0.3]}),
        ({"PixelSpacing": [0.5, 0.6], "ImagerPixelSpacing": [0.2, 0.3]}, {"PresentationPixelSpacing": [0.5, 0.6]}),
        ({"PixelSpacing": [0, 0.6]}, {"PresentationPixelAspectRatio": [1, 1]}),
    ],
)
def test_pixels_are_as_wide_as_they_are_high_only_if_the_source_says_so(tmp_path, values, expected, verify):
    path = contours(tmp_path / "made.dcm", of_image(write_image(tmp_path / "a.dcm", "CR", **values)))

    (area,) = pydicom.dcmread(path).DisplayedAreaSelectionSequence
    assert {key: [*area[key].value] for key in expected} == expected and verify(path) == []


def test_radiographs_keep_their_polarity_and_tables(tmp_path, verify):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], [0, 9, 99, 65535]
    modality = pydicom.Dataset()
    modality.LUTDescriptor, modality.LUTData, modality.ModalityLUTType = [4, 0, 16], [0, 1, 2, 65535], "US"
    for dataset in (table, modality):
        dataset["LUTDescriptor"].VR = "US"
        dataset["LUTData"].VR = "US"
    values = {"VOILUTSequence": [table], "ModalityLUTSequence": [modality]}
    source = write_image(tmp_path / "a.dcm", "DX", PhotometricInterpretation="MONOCHROME1", **values)

    path = contours(tmp_path / "made.dcm", of_image(source))

    made = pydicom.dcmread(path)
    assert made.PresentationLUTShape == "INVERSE"
    assert made.SoftcopyVOILUTSequence[0].VOILUTSequence[0].LUTData == table.LUTData
    assert made.ModalityLUTSequence[0].LUTData == modality.LUTData
    assert verify(path) == []


def test_color_images_get_a_color_state(tmp_path):
    made = pydicom.dcmread(contours(tmp_path / "made.dcm", SOURCES["dermoscopy"](tmp_path)))

    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.11.2"
    assert made.ICCProfile[12:16] == b"scnr" and "SoftcopyVOILUTSequence" not in made
    grey = pydicom.dcmread(contours(tmp_path / "grey.dcm", SOURCES["CR"](tmp_path)))
    assert grey.SOPClassUID == "1.2.840.10008.5.1.4.1.1.11.1"


def test_frames_of_an_enhanced_image_are_rescaled_alike(tmp_path):
    case = SOURCES["enhanced MR"](tmp_path)
    shared = case.headers[0].SharedFunctionalGroupsSequence[0]
    scale, window = pydicom.Dataset(), pydicom.Dataset()
    scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = "3", "7", "US"
    window.WindowCenter, window.WindowWidth = "50", "60"
    shared.PixelValueTransformationSequence, shared.FrameVOILUTSequence = [scale], [window]

    made = pydicom.dcmread(contours(tmp_path / "made.dcm", case))

    assert (made.RescaleSlope, made.RescaleIntercept) == (3, 7)
    assert made.SoftcopyVOILUTSequence[0].WindowCenter == 50
    assert made.DisplayedAreaSelectionSequence[0].PresentationPixelSpacing[0] == 0.6
    assert case.headers[0].SOPClassUID != CT


@pytest.mark.parametrize("source", ["CT", "oblique CT", "enhanced MR", "DX"])
def test_a_viewer_s_own_check_has_no_objections(tmp_path, source, integration):
    path = contours(tmp_path / "made.dcm", SOURCES[source](tmp_path / "source"))

    found = subprocess.run([integration("dcmpschk"), str(path)], capture_output=True, text=True, check=False)

    assert "Test passed" in found.stdout + found.stderr, found.stdout + found.stderr
