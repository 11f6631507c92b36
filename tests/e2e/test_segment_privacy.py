"""Nothing of the patient in logs, names and reports, unless ``--identify`` asks for it."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import phantoms
import pydicom
import pytest
from click.testing import CliRunner

from monai_semigan.cli.main import cli
from monai_semigan.io.image_file import ImageFile
from monai_semigan.report.schema import check_json

pytestmark = pytest.mark.e2e

TAGS = {
    "PatientID": "PID/47 11",
    "PatientName": "Geheim^Grete",
    "StudyDate": "20010203",
    "AccessionNumber": "ACC0815",
    "SeriesDescription": "GEHEIM abdomen",
    "PatientBirthDate": "19290607",
}
SECRETS = ("PID/47", "PID_47", "Geheim", "Grete", "ACC0815", "19290607", "GEHEIM")


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def tag(files: list[Path]) -> None:
    for file in files:
        dataset = pydicom.dcmread(file)
        for keyword, value in TAGS.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    tag(phantoms.write_series(tmp_path / "source" / "ct", phantoms.phantom(), "CT"))
    return tmp_path / "source"


@pytest.fixture
def radiograph(tmp_path: Path, make_xray, dicom_files) -> Path:
    pixels, _ = make_xray()
    dataset = dicom_files.instance(pixels.astype(np.uint16), Modality="DX", SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1")
    dataset.SeriesInstanceUID = pydicom.uid.generate_uid()
    path = dicom_files.save(dataset, tmp_path / "source" / "x.dcm")
    tag([path])
    return path


def texts(folder: Path) -> dict[str, str]:
    """What the output says, but DICOM objects, which belong to the patient's study: content by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".dcm":
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            found[str(path.relative_to(folder))] = content.decode("latin-1")
    return found


@pytest.mark.parametrize("kind", ["volume", "image"])
def test_by_default_nothing_says_whose_it_is(kind, series, radiograph, tiny_bundle, request, tmp_path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    bundle = request.getfixturevalue("volume_bundle") if kind == "volume" else tiny_bundle
    source = series / "ct" if kind == "volume" else radiograph
    result = run("segment", source, "-b", bundle, "-o", tmp_path / "out", "--steps", 0, "--preview")

    assert result.exception is None and result.return_value == 0, result.output
    found = texts(tmp_path / "out")
    assert len(found) >= 5
    for name, content in {**found, "screen": result.output, "log": caplog.text}.items():
        for secret in SECRETS:
            assert secret not in name and secret not in content, (name, secret)
    report = json.loads(found["report.json"])
    assert report["cases"][0]["identity"] is None


@pytest.mark.parametrize("kind", ["volume", "image"])
def test_identify_names_the_patient(kind, series, radiograph, tiny_bundle, request, tmp_path) -> None:
    bundle = request.getfixturevalue("volume_bundle") if kind == "volume" else tiny_bundle
    source = series / "ct" if kind == "volume" else radiograph
    arguments = ("segment", source, "-b", bundle, "-o", tmp_path / "out", "--steps", 0, "--json")
    anonymous = json.loads(run(*arguments).stdout)
    result = run(*arguments, "--identify")

    assert result.exception is None and result.return_value == 0, result.output
    report = json.loads(result.stdout)
    check_json("report", report)
    (case,) = report["cases"]
    assert anonymous["cases"][0]["case"] == ("ct" if kind == "volume" else "x")
    assert case["case"] == "PID_47_11"
    assert case["identity"] == {
        "patient_id": "PID/47 11",
        "patient_name": "Geheim^Grete",
        "study_date": "20010203",
        "accession_number": "ACC0815",
        "series_description": "GEHEIM abdomen",
    }
    assert json.loads((tmp_path / "out" / "PID_47_11" / "case.json").read_text())["identity"] == case["identity"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(text in page for text in ("PID/47 11", "Geheim^Grete", "ACC0815"))
    assert json.loads(run(*arguments, "--identify").stdout)["skipped"] == ["PID_47_11"]


def test_two_series_of_a_patient_get_two_folders(series, volume_bundle, tmp_path) -> None:
    tag(phantoms.write_series(series / "mr", phantoms.phantom(), "MR"))
    phantoms.write_nifti(series / "n.nii", phantoms.voxels(phantoms.phantom(), "CT"), phantoms.phantom().grid)
    result = run("segment", series, "-b", volume_bundle, "-o", tmp_path / "out", "--steps", 0, "--json", "--identify")

    cases = json.loads(result.stdout)["cases"]
    assert sorted(case["case"] for case in cases) == ["PID_47_11", "PID_47_11-2", "n"]
    assert [case["identity"] is None for case in cases if case["case"] == "n"] == [True]


def test_files_without_an_identity(tmp_path, radiograph) -> None:
    (tmp_path / "x.png").write_bytes(b"no dicom")
    assert ImageFile(tmp_path / "x.png").identity() is None
    dataset = pydicom.dcmread(radiograph)
    for keyword in TAGS:
        delattr(dataset, keyword)
    dataset.PatientName = "A\nB"
    dataset.save_as(radiograph)

    identity = ImageFile(radiograph).identity()

    assert identity is not None and identity.patient_id == "" and "\n" not in identity.patient_name
