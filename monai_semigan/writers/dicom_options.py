# SPDX-License-Identifier: Apache-2.0
"""How DICOM objects are written for sources that came from DICOM."""

from __future__ import annotations

from dataclasses import dataclass

from monai_semigan.settings import check_settings
from monai_semigan.writers.dicom_seg import EmptyRule, SegKind
from monai_semigan.writers.terminology import Terminology

__all__ = ["DicomOptions"]


@dataclass(frozen=True, kw_only=True)
class DicomOptions:
    """How DICOM objects are written.

    Attributes:
        kind: Of a SEG: ``BINARY`` or ``LABELMAP``, which needs a new PACS.
        terminology: Which code means "anatomical structure": ``dicom`` (91723000) or ``slicer`` (123037004).
        empty: What becomes of a label without any class: ``skip`` or ``write``.
        of_unlike: What becomes of the SEG of a source that is unlike the bundle's images, likewise: a label that
            cannot be right must not lie in a PACS like any other.

    Raises:
        ConfigError: An option is unknown.
    """

    kind: SegKind = "BINARY"
    terminology: Terminology = "dicom"
    empty: EmptyRule = "skip"
    of_unlike: EmptyRule = "skip"

    def __post_init__(self) -> None:
        check_settings(self)
