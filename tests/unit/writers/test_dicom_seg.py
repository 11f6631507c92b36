# SPDX-License-Identifier: Apache-2.0
"""DICOM SEG of volumes: every voxel where it was, whose it was, under identifiers that repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import ORIENTATIONS
from dicom_seg_check import ALGORITHM, OPTIONS, SEGMENTS, asymmetric_label, read_back
from dicom_series_builder import (
    SECRETS,
    SHAPE,
    write_multiframe,
    write_series,
)

from monai_semigan.errors import ConfigError, InputError, OutputError, ShapeError
from monai_semigan.io.dicom.file import open_dicom
from monai_semigan.io.volume import SourceVolume
from monai_semigan.writers.dicom_result import SERIES_DESCRIPTION, AlgorithmInfo, derived_uid
from monai_semigan.writers.dicom_seg import tracking_uid, write_dicom_seg
from monai_semigan.writers.terminology import segments_of_classes


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("is_reversed", [False, True], ids=["along", "against"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_returns_to_its_place(tmp_path, orientation, is_reversed, kind):
    volume = write_series(tmp_path / "series", orientation, is_reversed=is_reversed)
    label = asymmetric_label()

    path = write_dicom_seg(tmp_path / "seg.dcm", label, volume, kind=kind, **OPTIONS)

    assert path == tmp_path / "seg.dcm"
    np.testing.assert_array_equal(read_back(path, volume), label)


@pytest.mark.parametrize("is_everything_per_frame", [False, True])
def test_multi_frame_source(tmp_path, is_everything_per_frame, verify):
    volume = write_multiframe(tmp_path, is_everything_per_frame=is_everything_per_frame)

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    np.testing.assert_array_equal(read_back(path, volume), asymmetric_label())
    assert verify(path) == []
    made = pydicom.dcmread(path)
    frames = {
        int(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for frame in made.PerFrameFunctionalGroupsSequence
    }
    assert frames == {4, 1, 5, 3}  # of the slices 1 to 4; 0 is empty


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_standard_has_no_objections(tmp_path, orientation, verify):
    volume = write_series(tmp_path / "series", orientation)

    assert verify(write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)) == []


def test_it_belongs_to_the_source(tmp_path):
    volume = write_series(tmp_path / "series")

    made = pydicom.dcmread(write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS))

    source = pydicom.dcmread(volume.origin.files[0], stop_before_pixels=True)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", *SECRETS):
        assert made[keyword].value == source[keyword].value, keyword
    assert made.SeriesInstanceUID != source.SeriesInstanceUID and made.SeriesNumber == 1003
    assert made.SeriesDescription == SERIES_DESCRIPTION
    assert made.Manufacturer == "monai_semigan developers" and "ab" * 32 in made.SoftwareVersions
    references = made.ReferencedSeriesSequence[0]
    assert references.SeriesInstanceUID == source.SeriesInstanceUID
    assert len(references.ReferencedInstanceSequence) == SHAPE[2]
    by_uid = {str(pydicom.dcmread(file).SOPInstanceUID): pydicom.dcmread(file) for file in volume.origin.files}
    for frame in made.PerFrameFunctionalGroupsSequence:
        origin = by_uid[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert frame.PlanePositionSequence[0].ImagePositionPatient == origin.ImagePositionPatient


def test_segments_say_what_made_them(tmp_path):
    volume = write_series(tmp_path / "series")

    made = pydicom.dcmread(write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS))

    liver, hair = made.SegmentSequence
    assert liver.SegmentAlgorithmType == "AUTOMATIC" and liver.SegmentAlgorithmName == "a_bundle"
    algorithm = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110" and algorithm.AlgorithmVersion == "1.2.3"
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert hair.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99SEMIGAN"
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99SEMIGAN"
    uids = [str(pydicom.dcmread(file).SOPInstanceUID) for file in volume.origin.files]
    assert liver.TrackingUID == tracking_uid(sorted(uids), SEGMENTS[0], ALGORITHM) != hair.TrackingUID


@pytest.mark.parametrize(("terminology", "code"), [("dicom", "91723000"), ("slicer", "123037004")])
def test_terminologies(tmp_path, terminology, code):
    volume = write_series(tmp_path / "series")

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, terminology=terminology, **OPTIONS)

    category = pydicom.dcmread(path).SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0]
    assert (category.CodeValue, category.CodeMeaning) == (code, "Anatomical Structure")


def test_modifier_and_region_are_written(tmp_path, verify):
    segments = segments_of_classes(["background", "right lung", "liver tumor"], [(0, 0, 0)] * 3)
    volume = write_series(tmp_path / "series")

    path = write_dicom_seg(tmp_path / "s.dcm", asymmetric_label(), volume, segments=segments, algorithm=ALGORITHM)

    lung, tumor = pydicom.dcmread(path).SegmentSequence
    modifiers = lung.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert modifiers[0].CodeValue == "24028007"
    assert tumor.AnatomicRegionSequence[0].CodeValue == "10200004"
    assert verify(path) == []


def test_a_repeated_run_writes_the_same_bytes(tmp_path):
    volume = write_series(tmp_path / "series")

    first, second = (
        write_dicom_seg(tmp_path / name, asymmetric_label(), volume, **OPTIONS).read_bytes() for name in "ab"
    )

    assert first == second


def test_identifiers_follow_what_matters(tmp_path):
    volume, label = write_series(tmp_path / "series"), asymmetric_label()

    def uids(**changes: object) -> tuple[str, str]:
        made = pydicom.dcmread(write_dicom_seg(tmp_path / "seg.dcm", label, volume, **(OPTIONS | changes)))
        return str(made.SOPInstanceUID), str(made.SeriesInstanceUID)

    def algorithm(**changes: Any) -> AlgorithmInfo:
        return AlgorithmInfo(**({"name": "a_bundle", "version": "1.2.3", "digest": "ab" * 32} | changes))

    same = uids(algorithm=algorithm())  # at another time
    assert same == uids()
    others = [
        uids(algorithm=algorithm(digest="cd" * 32)),
        uids(algorithm=algorithm(settings={"steps": 5})),
        uids(kind="LABELMAP"),
        uids(terminology="slicer"),
    ]
    assert len({same, *others}) == 5 and all(set(other).isdisjoint(same) for other in others)


def test_derived_uids_are_valid_and_distinct():
    made = {derived_uid("a", at, {"b": [at]}) for at in range(50)}

    assert len(made) == 50 and all(pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.") for uid in made)
    assert derived_uid({"a": 1, "b": 2}) == derived_uid({"b": 2, "a": 1})


def test_an_empty_label_is_skipped_or_written(tmp_path, verify):
    volume, label = write_series(tmp_path / "series"), np.zeros(SHAPE, dtype=np.uint8)

    assert write_dicom_seg(tmp_path / "seg.dcm", label, volume, **OPTIONS) is None
    assert not (tmp_path / "seg.dcm").exists()
    path = write_dicom_seg(tmp_path / "seg.dcm", label, volume, empty="write", **OPTIONS)

    assert not read_back(path, volume).any() and verify(path) == []


def test_a_class_may_be_absent(tmp_path, verify):
    label = np.where(asymmetric_label() == 2, 2, 0).astype(np.uint8)
    volume = write_series(tmp_path / "series")

    path = write_dicom_seg(tmp_path / "seg.dcm", label, volume, **OPTIONS)

    np.testing.assert_array_equal(read_back(path, volume), label)
    assert verify(path) == []


def test_anonymized_files_lack_tags(tmp_path, verify):
    volume = write_series(tmp_path / "series", without=[*SECRETS, "FrameOfReferenceUID", "SliceThickness"])

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    assert not {*SECRETS, "FrameOfReferenceUID"} & {*pydicom.dcmread(volume.origin.files[0]).dir()}
    made = pydicom.dcmread(path)
    assert all(keyword in made and not made[keyword].value for keyword in SECRETS)
    assert made.FrameOfReferenceUID.startswith("2.25.")
    np.testing.assert_array_equal(read_back(path, volume), asymmetric_label())
    assert verify(path) == []


def test_files_with_a_study_each_come_into_the_first(tmp_path):
    volume = write_series(tmp_path / "series")
    for at, header in enumerate(volume.origin.headers):
        header.StudyInstanceUID = f"1.2.{at + 1}"

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    assert pydicom.dcmread(path).StudyInstanceUID == "1.2.1"


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "山田^太郎"), ("ISO_IR 144", "Ли^Ян")]
)
def test_names_keep_their_letters(tmp_path, charset, name):
    volume = write_series(tmp_path / "series", SpecificCharacterSet=charset, PatientName=name)

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    assert str(pydicom.dcmread(path).PatientName) == name


def test_odd_values_of_the_patient_neither_stop_nor_show(tmp_path, caplog, recwarn):
    odd = {"PatientName": "Secret^" * 12, "PatientID": "Secret" * 20, "SeriesNumber": "-5"}
    with pydicom.config.disable_value_validation():
        volume = write_series(tmp_path / "series", **odd)
        for file in volume.origin.files:
            made = pydicom.dcmread(file)
            made.add_new("PatientSex", "CS", "Secret?")
            made.add_new("PatientBirthDate", "DA", "SecretDate")
            made.save_as(file)
    origin = replace(volume.origin, headers=tuple(open_dicom(file).header for file in volume.origin.files))
    volume = replace(volume, origin=origin)
    recwarn.clear()

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    assert "ecret" not in caplog.text and not [item for item in recwarn if "ecret" in str(item.message)]
    np.testing.assert_array_equal(read_back(path, volume), asymmetric_label())
    assert pydicom.dcmread(path).SeriesNumber == 1000


def test_filled_slices_are_left_out(tmp_path):
    volume = write_series(tmp_path / "series", left_out=[2])
    expected = asymmetric_label()
    expected[:, :, 2] = 0

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    np.testing.assert_array_equal(read_back(path, volume), expected)
    only_filled = np.where(np.arange(SHAPE[2]) == 2, asymmetric_label(), 0).astype(np.uint8)
    assert write_dicom_seg(tmp_path / "none.dcm", only_filled, volume, **OPTIONS) is None


def test_a_resampled_volume_is_refused(tmp_path):
    volume = write_series(tmp_path / "series")
    resampled = replace(volume, origin=replace(volume.origin, is_repaired=True, is_resampled=True))

    with pytest.raises(OutputError, match=r"gantry tilt.*NIfTI"):
        write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), resampled, **OPTIONS)
    assert not (tmp_path / "seg.dcm").exists()


def test_files_that_cannot_be_referred_to_say_why(tmp_path):
    volume = write_series(tmp_path / "series", without=["StudyInstanceUID"])
    with pytest.raises(InputError, match="StudyInstanceUID"):
        write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    volume = write_series(tmp_path / "placeless", without=["ImagePositionPatient"])
    with pytest.raises(OutputError, match="where its frames lie"):
        write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)


def test_no_file_is_opened_to_refer_to_it(tmp_path):
    volume = write_series(tmp_path / "series")
    for file in volume.origin.files:
        file.unlink()

    path = write_dicom_seg(tmp_path / "seg.dcm", asymmetric_label(), volume, **OPTIONS)

    np.testing.assert_array_equal(read_back(path, volume), asymmetric_label())


def test_wrong_labels_and_options_are_refused(tmp_path):
    volume, label = write_series(tmp_path / "series"), asymmetric_label()
    nifti = SourceVolume(name="x", voxels=volume.voxels, grid=volume.grid)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (OutputError, "uint8", {"label": label.astype(np.int64)}),
        (OutputError, "classes 0 to 2", {"label": label + 1}),
        (OutputError, "volume's shape", {"label": label[1:]}),
        (ShapeError, "label", {"label": label[0]}),
        (OutputError, "needs a DICOM series", {"volume": nifti}),
        (ConfigError, "`kind`", {"kind": "FRACTIONAL"}),
        (ConfigError, "`empty`", {"empty": "maybe"}),
        (ConfigError, "`terminology`", {"terminology": "other"}),
        (ConfigError, "`segments`", {"segments": ()}),
    ]
    for error, reason, changes in cases:
        arguments = {"label": label, "volume": volume} | OPTIONS | changes
        with pytest.raises(error, match=reason):
            write_dicom_seg(tmp_path / "seg.dcm", arguments.pop("label"), arguments.pop("volume"), **arguments)
    assert not (tmp_path / "seg.dcm").exists()


def test_algorithms_have_writable_names():
    for changes in ({"name": "Größe"}, {"version": ""}, {"digest": "x" * 65}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            AlgorithmInfo(**({"name": "a", "version": "1", "digest": "ab"} | changes))
