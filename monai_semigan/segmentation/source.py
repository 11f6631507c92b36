# SPDX-License-Identifier: Apache-2.0
"""What a segmenter is given: an image or a volume in memory, and where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.record import SourceRecord

__all__ = ["Source", "array_digest"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """An image or a volume, read.

    Attributes:
        data: Pixels or voxels with what is known of them.
        record: Where they came from.
        case: Name of the case, safe as a folder's name.
        identity: Whom a DICOM source is of, if that was asked for.
        seconds: Wall time of reading.
    """

    data: SourceImage | SourceVolume
    record: SourceRecord
    case: str
    identity: Mapping[str, str] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = self.data.pixels.shape if isinstance(self.data, SourceImage) else self.data.voxels.shape
        return f"Source({self.record.name!r}, {self.record.format}, {' x '.join(map(str, shape))})"


def array_digest(values: np.ndarray) -> str:
    """SHA-256 over type, shape and content of an array."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
