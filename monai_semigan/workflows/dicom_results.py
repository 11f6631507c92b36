# SPDX-License-Identifier: Apache-2.0
"""Which DICOM objects are written for a case that came from DICOM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan import __version__
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.bundle.description import MAX_NAME_LENGTH
from monai_semigan.errors import ConfigError
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import EmptyRule, SegKind, write_dicom_seg, write_dicom_seg_2d
from monai_semigan.writers.terminology import Terminology

__all__ = ["DicomOptions", "Writers", "image_results", "volume_results"]

Writers = dict[str, Callable[[Path], object]]
"""By file name: what writes the file it is given."""


@dataclass(frozen=True, kw_only=True)
class DicomOptions:
    """What is written for DICOM sources beside the label map.

    Attributes:
        seg: Whether ``seg.dcm``, a DICOM SEG, is written.
        kind: ``BINARY`` or ``LABELMAP``.
        terminology: Which code means "anatomical structure": ``dicom`` (91723000) or ``slicer`` (123037004).
        empty: What becomes of a label without any class: ``skip`` or ``write``.
        preview: Whether ``preview.dcm``, a secondary capture of the montage or overlay, is written.

    Raises:
        ConfigError: An option is unknown.
    """

    seg: bool = True
    kind: SegKind = "BINARY"
    terminology: Terminology = "dicom"
    empty: EmptyRule = "skip"
    preview: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("kind", ("BINARY", "LABELMAP")),
            ("terminology", ("dicom", "slicer")),
            ("empty", ("skip", "write")),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")


def volume_results(
    label: np.ndarray, volume: SourceVolume, bundle: Bundle, options: DicomOptions, picture: np.ndarray
) -> Writers:
    """Return the writers for a volume; nothing unless it is from DICOM.

    A writer refuses what cannot be: the label of a repaired series may have slices that are no frames of it.

    Args:
        label: Class ids on the volume's grid.
        volume: The source.
        bundle: What made the label.
        options: What is wanted.
        picture: The montage, ``(H, W, 3)`` uint8.
    """
    if not isinstance(volume.origin, DicomOrigin):
        return {}
    writers: Writers = {}
    if options.seg:
        writers["seg.dcm"] = partial(write_dicom_seg, label=label, volume=volume, **_seg_settings(bundle, options))
    if options.preview:
        algorithm = _algorithm(bundle)
        writers["preview.dcm"] = partial(
            write_dicom_preview, picture=picture, source=volume.origin.headers[0], algorithm=algorithm
        )
    return writers


def image_results(
    label: np.ndarray, source: Any, bundle: Bundle, options: DicomOptions, picture: np.ndarray
) -> Writers:
    """Return the writers for a single DICOM image, as `volume_results` does.

    Args:
        label: Class ids ``(H, W)``.
        source: The image's header as it was read, or its file.
        bundle: What made the label.
        options: What is wanted.
        picture: The overlay, ``(H, W, 3)`` uint8.
    """
    writers: Writers = {}
    if options.seg:
        writers["seg.dcm"] = partial(write_dicom_seg_2d, label=label, source=source, **_seg_settings(bundle, options))
    if options.preview:
        algorithm = _algorithm(bundle)
        writers["preview.dcm"] = partial(write_dicom_preview, picture=picture, source=source, algorithm=algorithm)
    return writers


def _seg_settings(bundle: Bundle, options: DicomOptions) -> dict[str, Any]:
    return {
        "segments": bundle.segments,
        "algorithm": _algorithm(bundle),
        "kind": options.kind,
        "terminology": options.terminology,
        "empty": options.empty,
    }


def _algorithm(bundle: Bundle) -> AlgorithmInfo:
    return AlgorithmInfo(
        name=bundle.name, version=f"{bundle.version} ({__version__})"[:MAX_NAME_LENGTH], digest=bundle.digest
    )
