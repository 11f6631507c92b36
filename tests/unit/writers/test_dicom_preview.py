"""The picture of a result as Secondary Capture."""

from __future__ import annotations

import datetime
import subprocess

import numpy as np
import pydicom
import pytest
from dicom_series_builder import SECRETS, write_image, write_series

from monai_semigan.errors import OutputError
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_result import SERIES_DESCRIPTION, AlgorithmInfo

PICTURE = np.random.default_rng(0).integers(0, 256, (10, 13, 3), dtype=np.uint8)
ALGORITHM = AlgorithmInfo(
    name="a_bundle", version="1.2.3", digest="ab" * 32, created=datetime.datetime(2020, 1, 2, 3, 4, 5)
)


@pytest.mark.parametrize("without", [(), tuple(SECRETS)], ids=["complete", "anonymized"])
def test_the_picture_comes_into_the_study(tmp_path, integration, without):
    source = write_series(tmp_path / "series", without=without).origin.files[1]

    path = write_dicom_preview(tmp_path / "preview.dcm", PICTURE, source, algorithm=ALGORITHM)

    made, header = pydicom.dcmread(path), pydicom.dcmread(source, stop_before_pixels=True)
    np.testing.assert_array_equal(made.pixel_array, PICTURE)
    assert made.StudyInstanceUID == header.StudyInstanceUID != made.SeriesInstanceUID != header.SeriesInstanceUID
    assert made.SeriesNumber == 2003 and made.SeriesDescription == SERIES_DESCRIPTION
    assert all(made[keyword].value == header.get(keyword, made[keyword].empty_value) for keyword in SECRETS)
    found = subprocess.run([integration("dciodvfy"), str(path)], capture_output=True, text=True, check=False).stderr
    assert "SCImage" in found and "Error" not in found


def test_pictures_of_a_series_share_a_series_and_repeat(tmp_path):
    files = write_series(tmp_path / "series").origin.files

    def write(at: int, number: int) -> bytes:
        path = write_dicom_preview(tmp_path / "p.dcm", PICTURE, files[at], algorithm=ALGORITHM, number=number)
        return path.read_bytes()

    first, again, second = write(0, 1), write(0, 1), write(0, 2)
    headers = [pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)) for content in (first, second)]

    assert first == again
    assert headers[0].SeriesInstanceUID == headers[1].SeriesInstanceUID
    assert headers[0].SOPInstanceUID != headers[1].SOPInstanceUID and headers[1].InstanceNumber == 2


def test_wrong_pictures_are_refused(tmp_path):
    source = write_image(tmp_path / "image.dcm", "CR")

    for picture, number in ((PICTURE[..., 0], 1), (PICTURE.astype(float), 1), (PICTURE, 0)):
        with pytest.raises(OutputError, match="must be"):
            write_dicom_preview(tmp_path / "p.dcm", picture, source, algorithm=ALGORITHM, number=number)
    assert not (tmp_path / "p.dcm").exists()
