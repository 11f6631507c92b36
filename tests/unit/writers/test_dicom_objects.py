# SPDX-License-Identifier: Apache-2.0
"""What all DICOM objects of a result share, whatever the source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import put_text
from dicom_objects import OBJECTS, SOURCES, Case, of_image, of_volume
from dicom_seg_check import ALGORITHM
from dicom_series_builder import SECRETS, write_image, write_series

from monai_semigan.errors import InputError, OutputError
from monai_semigan.io.dicom.file import open_dicom
from monai_semigan.writers.dicom_result import SERIES_DESCRIPTION
from monai_semigan.writers.dicom_source import place_image


def of_slice(folder: Path) -> Case:
    """One slice of a series as an image, which has a place in the patient."""
    case = of_volume(write_series(folder))
    header = case.headers[2]
    return Case((header,), place_image(header), case.label[:, :, 2].T, None)


ODD = {
    "anonymized series": lambda folder: of_volume(
        write_series(folder, without=[*SECRETS, "FrameOfReferenceUID", "SliceThickness", "Manufacturer"])
    ),
    "anonymized image": lambda folder: of_image(
        write_image(folder / "a.dcm", "CR", **dict.fromkeys(SECRETS), Manufacturer=None)
    ),
    "image with an empty frame of reference": lambda folder: of_image(
        write_image(folder / "a.dcm", "DX", FrameOfReferenceUID="1.2.3.4")
    ),
    "image without spacing": lambda folder: of_image(write_image(folder / "a.dcm", "CR")),
    "image with bad spacing": lambda folder: of_image(write_image(folder / "a.dcm", "CR", PixelSpacing=[0, -1])),
    "left hand": lambda folder: of_image(write_image(folder / "a.dcm", "DX", Laterality="L", ImageLaterality="L")),
    "lossy": lambda folder: of_image(
        write_image(
            folder / "a.dcm",
            "DX",
            LossyImageCompression="01",
            LossyImageCompressionRatio="12",
            LossyImageCompressionMethod="ISO_10918_1",
        )
    ),
    "a single slice": of_slice,
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("source", [*SOURCES, *ODD])
def test_the_standard_has_no_objections(tmp_path, source, name, verify):
    case = (SOURCES | ODD)[source](tmp_path / "source")

    assert verify(OBJECTS[name](tmp_path / "made.dcm", case)) == []


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("source", ["CT", "enhanced MR", "DX", "dermoscopy"])
def test_they_belong_to_the_study(tmp_path, source, name):
    case = SOURCES[source](tmp_path / "source")

    made = pydicom.dcmread(OBJECTS[name](tmp_path / "made.dcm", case))

    header = case.headers[0]
    assert made.StudyInstanceUID == header.StudyInstanceUID and made.SeriesInstanceUID != header.SeriesInstanceUID
    assert all(made[keyword].value == header[keyword].value for keyword in SECRETS)
    assert made.SeriesDescription == SERIES_DESCRIPTION and made.SeriesNumber in range(1003, 6003, 1000)
    assert made.Manufacturer == "monai_semigan developers" and ALGORITHM.digest in made.SoftwareVersions
    if case.volume is not None and name in ("seg", "probability"):
        assert made.FrameOfReferenceUID == header.FrameOfReferenceUID
    uids = {str(header.SOPInstanceUID) for header in case.headers}
    text = made.to_json()
    assert any(uid in text for uid in uids)


@pytest.mark.parametrize("name", ["contours", "preview"])
@pytest.mark.parametrize(("stated", "side"), [("R", "R"), ("L", "L"), ("", ""), ("B", "")])
def test_they_keep_the_side(tmp_path, name, stated, side):
    case = of_image(write_image(tmp_path / "a.dcm", "DX", Laterality=stated))

    assert (pydicom.dcmread(OBJECTS[name](tmp_path / "made.dcm", case)).Laterality or "") == side


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("source", ["CT", "dermoscopy"])
def test_a_repeated_run_writes_the_same_bytes(tmp_path, source, name):
    case = SOURCES[source](tmp_path / "source")

    first, second = (OBJECTS[name](tmp_path / at, case).read_bytes() for at in "ab")

    assert first == second


def test_identifiers_are_of_each_object_bundle_and_option(tmp_path):
    case = SOURCES["CT"](tmp_path / "source")
    algorithms = [ALGORITHM, replace(ALGORITHM, digest="cd" * 32), replace(ALGORITHM, settings={"steps": 5})]

    made = [
        pydicom.dcmread(write(tmp_path / "made.dcm", case, algorithm=algorithm), stop_before_pixels=True)
        for write in OBJECTS.values()
        for algorithm in algorithms
    ]

    assert len({str(item.SOPInstanceUID) for item in made} | {str(item.SeriesInstanceUID) for item in made}) == 30
    later = replace(ALGORITHM, created=None)
    again = pydicom.dcmread(OBJECTS["sr"](tmp_path / "made.dcm", case, algorithm=later))
    assert again.SOPInstanceUID == made[3].SOPInstanceUID and again.ContentDate != made[3].ContentDate


@pytest.mark.parametrize("name", OBJECTS)
def test_names_keep_their_letters(tmp_path, name):
    case = of_volume(write_series(tmp_path / "s", SpecificCharacterSet="ISO_IR 144", PatientName="Ли^Ян"))

    assert str(pydicom.dcmread(OBJECTS[name](tmp_path / "made.dcm", case)).PatientName) == "Ли^Ян"


@pytest.mark.parametrize("name", OBJECTS)
def test_odd_values_of_the_patient_neither_stop_nor_show(tmp_path, name, caplog, recwarn):
    case = of_volume(write_series(tmp_path / "s"))
    for file in case.volume.origin.files:
        with pydicom.config.disable_value_validation():
            odd = pydicom.dcmread(file)
            odd.add_new("PatientSex", "CS", "Secret?")
            odd.add_new("PatientBirthDate", "DA", "SecretDate")
            odd.add_new("Laterality", "CS", "SECRET")
            odd.save_as(file)
        put_text(file, "WindowCenter", "Secret")
    headers = tuple(open_dicom(file).header for file in case.volume.origin.files)
    case = of_volume(replace(case.volume, origin=replace(case.volume.origin, headers=headers)))
    recwarn.clear()

    OBJECTS[name](tmp_path / "made.dcm", case)

    assert "ecret" not in caplog.text and not [item for item in recwarn if "ecret" in str(item.message)]


@pytest.mark.parametrize("name", OBJECTS)
def test_a_header_that_nothing_can_refer_to_says_why(tmp_path, name):
    volume = write_series(tmp_path / "s")
    case = of_volume(volume)
    for header in case.headers:
        del header.StudyInstanceUID

    with pytest.raises(InputError, match="StudyInstanceUID"):
        OBJECTS[name](tmp_path / "made.dcm", case if name in ("seg", "sr", "preview") else of_volume(volume))
    assert not (tmp_path / "made.dcm").exists()


@pytest.mark.parametrize("name", ["probability", "contours"])
def test_what_does_not_fit_is_refused(tmp_path, name):
    case = SOURCES["CT"](tmp_path / "source")

    with pytest.raises(OutputError, match="frames, rows and columns"):
        OBJECTS[name](tmp_path / "made.dcm", replace(case, label=case.label[1:]))
    assert not (tmp_path / "made.dcm").exists()


def test_an_image_of_several_frames_is_no_image(tmp_path):
    with pytest.raises(OutputError, match="single image"):
        place_image(SOURCES["enhanced MR"](tmp_path).headers[0])


def test_frames_lie_as_the_source_has_them(tmp_path):
    case = SOURCES["enhanced MR"](tmp_path)  # its frames are slices 2, 0, 4, 1, 3

    frames = case.place.frames(case.label)

    np.testing.assert_array_equal(frames, case.label[:, :, [2, 0, 4, 1, 3]].transpose(2, 1, 0))
