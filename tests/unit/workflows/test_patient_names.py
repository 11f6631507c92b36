"""Patients are found in the DICOM header, by a pattern or in names; identifiers stay out of the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_files import instance, save
from image_studies import SHAPE, listed, picture, study

from monai_semigan.errors import InputError

XRAY = "1.2.840.10008.5.1.4.1.1.1"


def radiograph(path: Path, patient: str) -> Path:
    pixels = np.random.default_rng(sum(map(ord, path.name))).integers(0, 999, SHAPE).astype(np.uint16)
    return save(instance(pixels, SOPClassUID=XRAY, Modality="DX", PatientID=patient), path)


def test_patients_of_dicom_images_are_numbers(tmp_path):
    for name, patient in (("c", "ID-99"), ("a", "ID-7"), ("b", "ID-99"), ("d", "")):
        radiograph(tmp_path / "images" / f"{name}.dcm", patient)

    summary, content = listed(tmp_path, masks=None)

    ids = {Path(entry["image"]).stem: entry.get("patient_id") for entry in content["unlabelled"]}
    assert ids == {"a": "patient-0001", "b": "patient-0002", "c": "patient-0002", "d": None}
    assert "ID-" not in (tmp_path / "data.json").read_text() and "ID-" not in json.dumps(summary.to_json())
    assert summary.patient_rule == "the DICOM header, else one patient per image" and summary.patients["all"] == 3


def test_one_patient_for_all_dicom_images_is_said_and_a_pattern_tells_them_apart(tmp_path):
    for name in ("p1_a", "p2_a"):
        radiograph(tmp_path / "images" / f"{name}.dcm", "ANON")

    first, _ = listed(tmp_path, masks=None)
    second, _ = listed(tmp_path, masks=None, overwrite=True, patient_pattern=r"^(p\d)")

    assert "All 2 DICOM images have the same PatientID" in first.warnings[0] and first.patients["all"] == 1
    assert second.patients["all"] == 2 and second.patient_rule == "the pattern"


def test_patients_from_a_pattern(tmp_path):
    study(tmp_path, ["x7-a", "x7-b", "x8-a"])

    _, content = listed(tmp_path, patient_pattern=r"x(\d+)-")

    assert [entry["patient_id"] for entry in content["unlabelled"]] == ["7", "7", "8"]


def test_a_pattern_with_a_slash_sees_folders(tmp_path):
    for name in ("p1/1", "p1/2", "p2/1"):
        picture(tmp_path / "images" / f"{name}.png")

    _, content = listed(tmp_path, masks=None, patient_pattern="/(p[0-9])/")

    assert [entry["patient_id"] for entry in content["unlabelled"]] == ["p1", "p1", "p2"]


def test_a_pattern_must_fit_all_names(tmp_path):
    study(tmp_path, ["x7", "y8"])

    with pytest.raises(InputError, match=r"`patient_pattern` must name a patient .* 1 of 2 are without one: y8.png"):
        listed(tmp_path, patient_pattern=r"x(\d+)")


@pytest.mark.parametrize(
    ("stems", "expected"),
    [
        (["s1_1", "s1_2", "S1-3", "s2_1", "s2_2", "s3"], ["s1", "s1", "s1", "s2", "s2", "s3"]),
        (["m7_L_CC", "m7_R_MLO", "m8_L_CC", "m8_R_CC"], ["m7", "m7", "m8", "m8"]),
        (["q1_slice_001", "q1_slice_017", "q2_slice_001", "q2", "q4"], ["q1", "q1", "q2", "q2", "q4"]),
        (["c_0002_0", "c_0003_0", "c_0004_1"], [None] * 3),  # nobody has two
        (["isic2016_0001", "isic2016_0002", "isic2016_0003"], [None] * 3),  # numbers of images
        (["00000001_000", "00000001_001", "00000002_000", "00000003_000"], ["00000001"] * 2 + ["00000002", "00000003"]),
        (["set3_0001", "set3_0002", "x1_a", "x2_a", "x3_a", "x4_a"], [None] * 6),  # numbers of images of one source
        (["set2_01", "set2_02", "set2_03", "y1", "y2"], [None] * 5),  # one name for most images
        (["img_1", "img_2", "xray_1", "xray_2"], [None] * 4),  # no number of a patient
    ],
)
def test_patients_from_names(stems, expected, tmp_path):
    study(tmp_path, stems)

    summary, content = listed(tmp_path, validation=0)

    found = {Path(entry["image"]).stem: entry.get("patient_id") for entry in content["unlabelled"]}
    assert {stem: found[stem] and found[stem].lower() for stem in stems} == dict(zip(stems, expected, strict=True))
    assert ("one patient per image" in summary.patient_rule) == (expected[0] is None)
    words = "Nothing tells the patients of" if expected[0] is None else f"of {len(set(expected))} patients, as names"
    assert any(words in warning for warning in summary.warnings)


def test_the_names_that_are_said_are_of_one_patient(tmp_path):
    study(tmp_path, ["a0", "s1_1", "s1_2", "s2", "s3"])

    assert "as names such as s1_1.png, s1_2.png differ" in " ".join(listed(tmp_path)[0].warnings)
