# SPDX-License-Identifier: Apache-2.0
"""A file or a volume that was found, read into what a segmenter takes."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict

from monai_semigan.files import safe_name
from monai_semigan.io.dicom.identity import Identity
from monai_semigan.io.image_file import ImageFile, image_format, image_stem
from monai_semigan.io.volume_input import VolumeCandidate
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.source import Source

__all__ = ["read_image_source", "read_volume_source"]


def read_image_source(
    file: ImageFile,
    *,
    case: str | None = None,
    sha256: str | None = None,
    location_sha256: str | None = None,
    identity: Identity | None = None,
) -> Source:
    """Read an image.

    Args:
        file: Where it is.
        case: Name of the case; None takes the file's.
        sha256: Of its content, if that is known.
        location_sha256: Of where it is, for results that a later run must find again.
        identity: Whom it is of, if that is to be said.

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
        location_sha256=location_sha256,
    )
    return Source(
        data=data,
        record=record,
        case=case or safe_name(image_stem(path)),
        identity=None if identity is None else asdict(identity),
        seconds={"read": time.perf_counter() - started},
    )


def read_volume_source(
    candidate: VolumeCandidate,
    *,
    case: str | None = None,
    sha256: str | None = None,
    location_sha256: str | None = None,
    identity: Identity | None = None,
) -> Source:
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
        location_sha256=location_sha256,
    )
    return Source(
        data=data,
        record=record,
        case=case or candidate.name,
        identity=None if identity is None else asdict(identity),
        seconds={"read": time.perf_counter() - started},
    )
