# SPDX-License-Identifier: Apache-2.0
"""DICOM objects go into an archive and come back as they were."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_objects import OBJECTS, SOURCES, Case
from dicom_seg_check import ALGORITHM
from orthanc_server import AET, Orthanc, running_orthanc
from pydicom.filebase import DicomBytesIO


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


def made(folder: Path, case: Case, **changes: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write(folder / f"{name}.dcm", case, **changes) for name, write in OBJECTS.items()]


def store(server: Orthanc, program: str, files: list[Path]) -> None:
    """C-STORE; -R proposes only what the files need, as there is not enough room for all classes."""
    sent = subprocess.run(
        [program, "-R", "-aec", AET, "127.0.0.1", str(server.dicom_port), *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sent.returncode == 0, sent.stderr


def read(server: Orthanc, file: Path) -> pydicom.Dataset:
    header = pydicom.dcmread(file, stop_before_pixels=True)
    uids = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
    return pydicom.dcmread(DicomBytesIO(server.wado(*map(str, uids))))


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
@pytest.mark.parametrize("source", ["CT", "enhanced MR", "CR", "dermoscopy"])
def test_they_come_back_as_they_were(tmp_path, orthanc, integration, source, way):
    case = SOURCES[source](tmp_path / "source")
    files = made(tmp_path / "made", case)
    images = [path for path in sorted((tmp_path / "source").rglob("*")) if path.is_file()]

    if way == "C-STORE":
        store(orthanc, integration("storescu"), [*images, *files])
    else:
        orthanc.stow(*images, *files)

    for file in files:
        assert read(orthanc, file) == pydicom.dcmread(file)  # pixels included
    study = str(case.headers[0].StudyInstanceUID)
    (found,) = orthanc.rest(f"/dicom-web/studies?StudyInstanceUID={study}")
    assert found["00201208"]["Value"] == [len(images) + len(files)]  # NumberOfStudyRelatedInstances
    series = orthanc.rest(f"/dicom-web/studies/{study}/series")
    assert len(series) == 1 + len(files)


def test_a_second_run_replaces_the_first(tmp_path, orthanc):
    case = SOURCES["CT"](tmp_path / "source")
    orthanc.stow(*made(tmp_path / "first", case))
    count = len(orthanc.rest("/instances"))
    later = replace(ALGORITHM, created=datetime.datetime(2021, 5, 6, 7, 8, 9))

    files = made(tmp_path / "second", case, algorithm=later)
    orthanc.stow(*files)

    assert len(orthanc.rest("/instances")) == count
    assert {read(orthanc, file).InstanceCreationDate for file in files} == {"20210506"}
