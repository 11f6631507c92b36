# SPDX-License-Identifier: Apache-2.0
"""A file or a volume that was found, read into what a segmenter takes."""

from __future__ import annotations

import hashlib
import time

from monai_semigan.files import safe_name
from monai_semigan.io.image_file import ImageFile, image_format, image_stem
from monai_semigan.io.volume_input import VolumeCandidate
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.source import Source

__all__ = ["read_image_source", "read_volume_source"]


def read_image_source(file: ImageFile, *, sha256: str | None = None) -> Source:
    """Read an image.

    Args:
        file: Where it is.
        sha256: Of its content, if that is known.

    Raises:
        InputError: It cannot be read.
    """
    started, path = time.perf_counter(), file.path
    sha256 = sha256 or file.digest()
    data = file.read()
    record = SourceRecord(
        name=path.name,
        format="dicom" if data.is_dicom else image_format(path) or "png",  # type: ignore[arg-type]
        sha256=sha256,
    )
    return Source(
        data=data,
        record=record,
        case=safe_name(image_stem(path)),
        seconds={"read": time.perf_counter() - started},
    )


def read_volume_source(candidate: VolumeCandidate, *, sha256: str | None = None) -> Source:
    """Read a volume; arguments as of `read_image_source`.

    Raises:
        InputError: It cannot be read.
        GeometryError: It is no regular volume.
    """
    started, series = time.perf_counter(), candidate.series
    sha256 = sha256 or candidate.digest()
    data = candidate.load()
    record = SourceRecord(
        name=candidate.name,
        format=candidate.kind,  # type: ignore[arg-type]
        sha256=sha256,
        series_sha256=hashlib.sha256(series.series_uid.encode()).hexdigest() if series else None,
        num_files=len(candidate.files),
    )
    return Source(
        data=data,
        record=record,
        case=candidate.name,
        seconds={"read": time.perf_counter() - started},
    )
