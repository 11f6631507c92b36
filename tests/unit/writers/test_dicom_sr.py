# SPDX-License-Identifier: Apache-2.0
"""Measurements as a structured report."""

from __future__ import annotations

from dataclasses import replace

import pydicom
import pytest
from dicom_objects import SOURCES, findings, of_volume, seg, sr
from dicom_seg_check import ALGORITHM, SEGMENTS
from dicom_series_builder import write_series

from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.writers.dicom_seg import tracking_uid
from monai_semigan.writers.dicom_sr import CaseFindings, Finding, write_dicom_sr
from monai_semigan.writers.terminology import segments_of_classes


def report(path):
    import highdicom as hd

    return hd.sr.srread(path)


def items(group, value_type: str) -> dict[str, pydicom.Dataset]:
    """Content items of a group by the meaning of their names; the last of each."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item
        for item in group[0].ContentSequence
        if item.ValueType == value_type
    }


@pytest.mark.parametrize("source", ["CT", "enhanced MR"])
def test_numbers_return_exactly_and_refer_to_their_segment(tmp_path, source):
    case = SOURCES[source](tmp_path / "source")

    made = report(sr(tmp_path / "sr.dcm", case))

    liver, hair = made.content.get_volumetric_roi_measurement_groups()
    numbers = {item.name.meaning: (item.value, item.unit.value) for item in liver.get_measurements()}
    assert numbers == {"Volume": (1000 / 3, "mL"), "Expected Dice": (0.1 + 0.2, "1")}
    assert [item.value for item in hair.get_measurements()] == [0.0]
    segmentation = pydicom.dcmread(tmp_path / "sr.seg")
    for number, group in enumerate((liver, hair), start=1):
        segment = segmentation.SegmentSequence[number - 1]
        assert (
            group.tracking_uid == segment.TrackingUID == tracking_uid(case.place.uids, SEGMENTS[number - 1], ALGORITHM)
        )
        assert group.tracking_identifier == segment.TrackingID
        assert group.finding_type == hd_code(segment.SegmentedPropertyTypeCodeSequence[0])
        (reference,) = items(group, "IMAGE")["Referenced Segment"].ReferencedSOPSequence
        assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == number
    assert evaluations(hair) == {"extent": "Cut"} and evaluations(liver) == {}


def evaluations(group) -> dict[str, str]:
    """What was evaluated by terms of this package: the category of a finding counts as evaluated too."""
    found = group.get_qualitative_evaluations()
    return {item.name.value: item.value.meaning for item in found if item.name.scheme_designator == "99SEMIGAN"}


def hd_code(item):
    import highdicom as hd

    return hd.sr.CodedConcept.from_dataset(item)


def test_an_image_is_measured_in_its_plane(tmp_path):
    case = SOURCES["DX"](tmp_path / "source")

    made = report(sr(tmp_path / "sr.dcm", case))

    groups = made.content.get_planar_roi_measurement_groups()
    segmentation = pydicom.dcmread(tmp_path / "sr.seg")
    assert [group.tracking_identifier for group in groups] == ["liver", "face hair"]
    for number, group in enumerate(groups, start=1):
        (reference,) = items(group, "IMAGE")["Referenced Segmentation Frame"].ReferencedSOPSequence
        frame = segmentation.PerFrameFunctionalGroupsSequence[int(reference.ReferencedFrameNumber) - 1]
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
        (source,) = items(group, "IMAGE")["Source Image for Segmentation"].ReferencedSOPSequence
        assert source.ReferencedSOPInstanceUID == case.headers[0].SOPInstanceUID


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("source", ["CT", "DX"])
def test_a_class_that_was_not_found_has_no_segment(tmp_path, source, kind, verify):
    case = SOURCES[source](tmp_path / "source")
    case.label[case.label == 1] = 0

    path = sr(tmp_path / "sr.dcm", case, seg=seg(tmp_path / "seg.dcm", case, kind=kind))

    made = report(path).content
    referring = made.get_volumetric_roi_measurement_groups() + made.get_planar_roi_measurement_groups()
    expected = ["face hair"] if kind == "BINARY" else ["liver", "face hair"]  # a label map lists all its classes
    assert [group.tracking_identifier for group in referring] == expected
    others = [group.tracking_identifier for group in made.get_image_measurement_groups()]
    assert {*others, *expected} == {"liver", "face hair", "Whole source"}
    if kind == "BINARY":  # dciodvfy does not know the other kind as a segmentation
        assert verify(path) == []


def test_a_single_class_needs_no_other(tmp_path, verify):
    """Segments of a single class are said in what frames share, not in each."""
    case = SOURCES["CT"](tmp_path / "source")
    case.label[case.label == 2] = 0
    one = replace(findings(), findings=findings().findings[:1])
    made = seg(tmp_path / "seg.dcm", case, segments=SEGMENTS[:1])
    shared = pydicom.dcmread(made).SharedFunctionalGroupsSequence[0]

    path = write_dicom_sr(tmp_path / "sr.dcm", one, case.headers, algorithm=ALGORITHM, seg=made)

    (group,) = report(path).content.get_volumetric_roi_measurement_groups()
    assert group.get_measurements()[0].value == 1000 / 3 and verify(path) == []
    assert "SegmentIdentificationSequence" in shared


def test_without_a_seg_it_refers_to_the_images_alone(tmp_path, verify):
    case = SOURCES["CT"](tmp_path / "source")

    path = sr(tmp_path / "sr.dcm", case, seg=None)

    made = report(path)
    assert not made.content.get_volumetric_roi_measurement_groups()
    groups = made.content.get_image_measurement_groups()
    assert [group.get_measurements()[0].value for group in groups] == [1000 / 3, 0.0, 1 / 7]
    (study,) = made.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} == {
        header.SOPInstanceUID for header in case.headers
    }
    assert verify(path) == []


def test_it_says_what_made_it_and_what_to_mind(tmp_path):
    made = report(sr(tmp_path / "sr.dcm", SOURCES["CT"](tmp_path)))

    liver = made.content.get_volumetric_roi_measurement_groups()[0]
    text = items(liver, "TEXT")
    assert text["Algorithm Name"].TextValue == "a_bundle" and text["Algorithm Version"].TextValue == "1.2.3"
    assert text["Algorithm Parameters"].TextValue == "bundle_sha256=" + "ab" * 32
    whole = made.content.get_image_measurement_groups()[-1]
    notes = [item.TextValue for item in whole[0].ContentSequence if item.ValueType == "TEXT"][-3:]
    assert notes == ["AI result - research only.", "An organ is cut.", "Gr??e"]
    (error,) = whole.get_measurements()
    assert error.value == 1 / 7 and error.method.value == "error"
    assert made.CompletionFlag == "PARTIAL" and made.VerificationFlag == "UNVERIFIED"
    names = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in made.ContentSequence}
    assert names["Procedure reported"].ConceptCodeSequence[0].CodeMeaning == "Computed tomography"


def test_sides_and_regions_are_finding_sites(tmp_path, verify):
    segments = segments_of_classes(["background", "right lung", "liver tumor"], [(0, 0, 0)] * 3)
    case = SOURCES["CT"](tmp_path / "source")
    known = CaseFindings(findings=tuple(Finding(segment, ()) for segment in segments), is_volume=True)

    path = write_dicom_sr(tmp_path / "sr.dcm", known, case.headers, algorithm=ALGORITHM)

    lung, tumor, _ = report(path).content.get_image_measurement_groups()
    assert (lung.finding_sites[0].value.meaning, lung.finding_sites[0].laterality.meaning) == ("Lung", "Right")
    assert tumor.finding_sites[0].value.meaning == "Liver" and tumor.finding_sites[0].laterality is None
    assert verify(path) == []


def test_a_resampled_volume_has_measurements_too(tmp_path, verify):
    volume = write_series(tmp_path / "series")
    with pytest.raises(OutputError, match="gantry tilt"):
        of_volume(replace(volume, origin=replace(volume.origin, is_resampled=True)))

    assert verify(write_dicom_sr(tmp_path / "sr.dcm", findings(), volume.origin.headers, algorithm=ALGORITHM)) == []


def test_files_with_a_study_each_come_into_the_first(tmp_path):
    case = SOURCES["CT"](tmp_path / "source")
    for at, header in enumerate(case.headers):
        header.StudyInstanceUID = f"1.2.{at + 1}"

    made = pydicom.dcmread(sr(tmp_path / "sr.dcm", case))

    assert made.StudyInstanceUID == "1.2.1" and len(made.CurrentRequestedProcedureEvidenceSequence) == 1


def test_there_is_something_to_measure():
    with pytest.raises(ConfigError, match="at least one class"):
        CaseFindings(findings=(), is_volume=False)
