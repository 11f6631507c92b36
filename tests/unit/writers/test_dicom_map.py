# SPDX-License-Identifier: Apache-2.0
"""Probabilities as Parametric Map, or as a SEG of fractions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_objects import SOURCES, of_volume, probability
from dicom_series_builder import write_series

from monai_semigan.errors import OutputError
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.writers.dicom_map import LEVELS


@pytest.mark.parametrize("source", ["CT", "oblique CT", "enhanced MR"])
def test_every_voxel_returns_to_its_place(tmp_path, source):
    import highdicom as hd

    case = SOURCES[source](tmp_path / "source")

    path = probability(tmp_path / "made.dcm", case)

    volume = hd.imread(path).get_volume(apply_real_world_transform=True, dtype=np.float64)
    to_voxel = np.linalg.inv(lps_from_ras(case.volume.grid.affine)) @ volume.affine
    found = np.full(case.label.shape, np.nan)
    for index in np.ndindex(volume.array.shape):
        place = to_voxel @ [*index, 1]
        np.testing.assert_allclose(place, np.rint(place), atol=1e-3)
        found[tuple(np.rint(place[:3]).astype(int))] = volume.array[index]
    np.testing.assert_allclose(found, case.probability, atol=1e-7)  # steps of 1/255 are exact


def test_the_mapping_says_what_the_values_are(tmp_path):
    made = pydicom.dcmread(probability(tmp_path / "made.dcm", SOURCES["CT"](tmp_path)))

    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.LUTExplanation == "Probability of liver"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.RealWorldValueSlope == pytest.approx(1 / LEVELS) and mapping.RealWorldValueIntercept == 0
    (quantity,) = mapping.QuantityDefinitionSequence
    assert quantity.ConceptCodeSequence[0].CodingSchemeDesignator == "99SEMIGAN"
    assert made.BitsAllocated == 16 and made.NumberOfFrames == 5 and made.ContentQualification == "RESEARCH"


@pytest.mark.parametrize("source", ["CR", "dermoscopy"])
def test_an_image_without_a_place_gets_fractions(tmp_path, source):
    import highdicom as hd

    case = SOURCES[source](tmp_path / "source")

    read = hd.seg.segread(probability(tmp_path / "made.dcm", case))

    assert read.SegmentationFractionalType == "PROBABILITY" and read.MaximumFractionalValue == 255
    assert "FrameOfReferenceUID" not in read
    (found,) = read.get_pixels_by_source_instance([case.headers[0].SOPInstanceUID], dtype=np.float32)
    np.testing.assert_allclose(found[..., 0], case.probability, atol=1e-6)


def test_frames_without_a_slice_are_zero(tmp_path):
    volume = write_series(tmp_path / "series")
    case = of_volume(replace(volume, origin=replace(volume.origin, slices=(0, 1, None, 3, 4))))

    made = pydicom.dcmread(probability(tmp_path / "made.dcm", case))

    assert [bool(frame.any()) for frame in made.pixel_array] == [True, True, False, True, True]


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan])
def test_values_that_are_no_probabilities_are_refused(tmp_path, value):
    case = SOURCES["CT"](tmp_path / "source")
    wrong = case.probability
    wrong[1, 2, 3] = value

    with pytest.raises(OutputError, match="0 to 1"):
        probability(tmp_path / "made.dcm", replace_probability(case, wrong))


def replace_probability(case, values):
    class Wrong(type(case)):
        probability = values

    return Wrong(case.headers, case.place, case.label, case.volume)
