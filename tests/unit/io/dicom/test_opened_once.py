"""A DICOM file is opened once for a whole case: search, digest, pixels, identity and the results that refer to it."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dicom_files import stored_values, write_series

from monai_semigan.io import volume_input
from monai_semigan.io.image_file import ImageFile
from monai_semigan.io.volume_input import find_volumes, iter_volumes
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg, write_dicom_seg_2d
from monai_semigan.writers.terminology import segments_of_classes

SEGMENTS = segments_of_classes(["background", "liver"], [(0, 0, 0), (221, 130, 101)])
ALGORITHM = AlgorithmInfo(name="a_bundle", version="1", digest="ab" * 32)
PICTURE = np.zeros((20, 20, 3), dtype=np.uint8)

OPENED: Counter[Path] = Counter()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str) and "/source/" in arguments[0]:
        OPENED[Path(arguments[0])] += 1


@pytest.fixture(scope="module", autouse=True)
def _audit() -> None:
    sys.addaudithook(_note)  # sees every way to open a file; cannot be taken off again


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = write_series(tmp_path / "source", stored_values(4, 20, 18))
    OPENED.clear()
    return paths


def work(candidate: volume_input.VolumeCandidate, folder: Path) -> str:
    sha256 = candidate.digest()
    assert candidate.identity().patient_id == "Secret-4711" and candidate.size() == ((18, 20, 4), 2)
    volume = candidate.load()
    np.testing.assert_array_equal(volume.voxels.T, stored_values(4, 20, 18).astype(int) - 1024)
    label = (volume.voxels > 0).astype(np.uint8)
    write_dicom_seg(folder / "seg.dcm", label, volume, segments=SEGMENTS, algorithm=ALGORITHM)
    write_dicom_preview(folder / "preview.dcm", PICTURE, volume.origin.headers[0], algorithm=ALGORITHM)
    return sha256


def test_a_series(tmp_path: Path, files: list[Path]) -> None:
    (sha256,) = [
        work(candidate, tmp_path)
        for candidate in iter_volumes([tmp_path / "source"], on_failure=pytest.fail, unpack_to=tmp_path)
    ]

    assert Counter(files) == OPENED
    contents = b"".join(path.read_bytes() for path in sorted(files))
    assert sha256 == hashlib.sha256(contents).hexdigest()


def test_a_series_that_is_too_large_to_hold_is_opened_twice(tmp_path: Path, files: list[Path], monkeypatch) -> None:
    room = 2 * files[0].stat().st_size + 100
    monkeypatch.setattr(volume_input, "HELD_DICOM_BYTES", room)

    for candidate in iter_volumes([tmp_path / "source"], on_failure=pytest.fail, unpack_to=tmp_path):
        assert sum(file.held_bytes for file in candidate.dicom.files) <= room
        work(candidate, tmp_path)
        assert not any(file.held_bytes for file in candidate.dicom.files)

    assert sorted(OPENED.values()) == [1, 1, 2, 2]


def test_a_search_that_keeps_its_volumes_holds_no_bytes(tmp_path: Path, files: list[Path]) -> None:
    (candidate,) = find_volumes([tmp_path / "source"])

    assert not any(file.held_bytes for file in candidate.dicom.files)
    work(candidate, tmp_path)

    assert Counter(files * 2) == OPENED


def test_a_skipped_case_lets_its_bytes_go(tmp_path: Path, files: list[Path]) -> None:
    write_series(tmp_path / "source" / "other", stored_values(4, 20, 18))
    search = iter_volumes([tmp_path / "source"], on_failure=pytest.fail, unpack_to=tmp_path)
    first = next(search)
    assert any(file.held_bytes for file in first.dicom.files)

    next(search)

    assert not any(file.held_bytes for file in first.dicom.files)


def test_a_single_image(tmp_path: Path, files: list[Path]) -> None:
    file = ImageFile(files[2])

    sha256, identity, source = file.digest(), file.identity(), file.read()
    write_dicom_seg_2d(
        tmp_path / "seg.dcm", np.eye(20, 18, dtype=np.uint8), source.header, segments=SEGMENTS, algorithm=ALGORITHM
    )
    write_dicom_preview(tmp_path / "preview.dcm", PICTURE, source.header, algorithm=ALGORITHM)

    assert {files[2]: 1} == OPENED
    assert identity is not None and identity.patient_name == "Secret^Name"
    assert sha256 == hashlib.sha256(files[2].read_bytes()).hexdigest()
