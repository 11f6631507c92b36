# SPDX-License-Identifier: Apache-2.0
"""``semigan series``: what is there, why it is taken or left, and nothing about the patient."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from monai_semigan import list_series
from monai_semigan.cli.main import cli
from monai_semigan.errors import InputError


@pytest.fixture
def study(tmp_path: Path, dicom_files: ModuleType) -> Path:
    texts = {"SeriesDescription": "Secret portal", "StudyDescription": "Secret"}
    dicom_files.write_series(tmp_path / "study" / "a", SeriesNumber=2, **texts)
    dicom_files.write_series(tmp_path / "study" / "b", SeriesNumber=4, leave_out=[2], **texts)
    dicom_files.write_series(tmp_path / "study" / "c", SeriesNumber=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    return tmp_path / "study"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["series", *map(str, arguments)], catch_exceptions=False)


def test_table(study: Path) -> None:
    result = run(study)

    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and len(lines) == 5
    assert "left" in lines[1] and "a localizer" in lines[1]
    assert "taken" in lines[2] and "0.8 x 0.6 x 2.5" in lines[2] and "7 x 6" in lines[2]
    assert "refused" in lines[3] and "Slices 2 and 4 are 5.000 mm apart" in lines[3]
    assert lines[4] == "3 series, 2 taken, 1 of them readable"
    assert "Secret" not in result.output and "portal" not in result.output


def test_rules_and_repairs(study: Path) -> None:
    result = run(study, "--description", "PORTAL", "--min-slices", 5, "--fill-missing")

    assert "does not match" not in result.stdout.splitlines()[2]
    assert "4 slices, fewer than 5" in result.stdout
    assert "refused" not in run(study, "--fill-missing").stdout
    assert "coronal" in run(study, "--plane", "coronal").stdout
    assert "not MR" in run(study, "--modality", "mr").stdout


def test_json_without_and_with_identity(study: Path) -> None:
    entries = json.loads(run(study, "--json").stdout)["series"]

    assert [entry["series_number"] for entry in entries] == [1, 2, 4]
    assert entries[1]["is_taken"] and entries[1]["num_slices"] == 5 and entries[2]["fault"]
    assert not any("series_uid" in entry or "description" in entry for entry in entries)
    identified = json.loads(run(study, "--json", "--identify").stdout)["series"]
    assert identified[1]["description"] == "Secret portal" and identified[1]["series_uid"]
    assert "Secret portal" in run(study, "--identify").stdout


def test_zip_is_listed_like_its_folder(study: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in study.rglob("image*"):
            archive.write(path, path.relative_to(study))

    assert run(tmp_path / "study.zip").stdout == run(study).stdout


def test_nothing_to_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold DICOM images"):
        list_series(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        list_series(tmp_path / "no.zip")
