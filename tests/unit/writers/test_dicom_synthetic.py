# SPDX-License-Identifier: Apache-2.0
"""Drawn images as DICOM: valid, said to be drawn, the same again."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from monai_semigan.errors import OutputError
from monai_semigan.io.image_file import read_image
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg_2d
from monai_semigan.writers.dicom_synthetic import NO_TIME, write_dicom_synthetic
from monai_semigan.writers.terminology import segments_of_classes

GREY = np.arange(35 * 20, dtype=np.uint16).reshape(35, 20).astype(np.uint8)
RGB = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)
SEGMENTS = segments_of_classes(("background", "lung"), ((0, 0, 0), (230, 97, 1)))
NEW_TAG = "(0x0008,0x001c)"
"""Synthetic Data, which the checker is too old to know."""


def algorithm(seed: int = 3) -> AlgorithmInfo:
    return AlgorithmInfo(name="lung", version="1.0", digest="a" * 64, settings={"seed": seed}, created=NO_TIME)


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_the_image_is_valid_and_read_back_as_it_was(tmp_path, verify, pixels):
    write_dicom_synthetic(tmp_path / "a.dcm", pixels, algorithm=algorithm(), number=18)

    np.testing.assert_array_equal(read_image(tmp_path / "a.dcm").pixels, pixels)
    assert [line for line in verify(tmp_path / "a.dcm") if NEW_TAG not in line] == []


def test_nobody_takes_it_for_a_patient_s(tmp_path):
    write_dicom_synthetic(tmp_path / "a.dcm", GREY, algorithm=algorithm(), number=18)

    found = pydicom.dcmread(tmp_path / "a.dcm")
    assert found.SyntheticData == "YES" and found.ConversionType == "SYN"
    assert found.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert str(found.PatientName) == "Synthetic^000018" and found.PatientID == "SYNTHETIC-000018"
    assert found.BurnedInAnnotation == "NO"
    assert "no patient" in found.SeriesDescription and "Synthetic" in found.ImageComments
    assert "lung 1.0" in found.DerivationDescription
    assert not found.PatientBirthDate and not found.StudyDate


def test_the_label_refers_to_it_and_is_said_to_be_drawn_too(tmp_path, verify):
    header = write_dicom_synthetic(tmp_path / "a.dcm", GREY, algorithm=algorithm(), number=1)
    label = np.zeros(GREY.shape, dtype=np.uint8)
    label[3:9, 4:7] = 1

    write_dicom_seg_2d(tmp_path / "s.dcm", label, header, segments=SEGMENTS, algorithm=algorithm())

    found = pydicom.dcmread(tmp_path / "s.dcm")
    assert found.SyntheticData == "YES" and found.PatientID == "SYNTHETIC-000001"
    assert found.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == (
        header.SOPInstanceUID
    )
    np.testing.assert_array_equal(np.squeeze(found.pixel_array), label)
    assert [line for line in verify(tmp_path / "s.dcm") if NEW_TAG not in line] == []


def test_the_same_item_is_the_same_file_and_another_has_other_identifiers(tmp_path):
    headers = [
        write_dicom_synthetic(tmp_path / name, GREY, algorithm=algorithm(seed), number=number)
        for name, seed, number in (("a.dcm", 3, 1), ("b.dcm", 3, 1), ("c.dcm", 4, 1), ("d.dcm", 3, 2))
    ]

    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    assert len({header.SOPInstanceUID for header in headers}) == 3
    assert len({header.StudyInstanceUID for header in headers}) == 3


@pytest.mark.parametrize(
    ("pixels", "number", "words"),
    [
        (GREY.astype(np.float32), 1, "uint8"),
        (GREY[None], 1, "uint8"),
        (GREY[:0], 1, "uint8"),
        (GREY, 0, "`number` must be 1"),
        (GREY, 2**31, "`number` must be 1"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, pixels, number, words):
    with pytest.raises(OutputError, match=words):
        write_dicom_synthetic(tmp_path / "a.dcm", pixels, algorithm=algorithm(), number=number)
    assert list(tmp_path.iterdir()) == []
