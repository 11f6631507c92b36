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
from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.inference.bundle import Bundle
from monai_semigan.io.dicom_preview import write_dicom_preview
from monai_semigan.io.dicom_result import AlgorithmInfo
from monai_semigan.io.dicom_seg import EmptyRule, SegKind, write_dicom_seg, write_dicom_seg_2d
from monai_semigan.io.dicom_source import place_frames
from monai_semigan.io.terminology import Terminology
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.types import PathLike

__all__ = ["DicomOptions", "image_results", "volume_results"]

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
) -> tuple[Writers, list[str]]:
    """Return the writers for a volume, and remarks on what is not written; nothing unless it is from DICOM.

    Args:
        label: Class ids on the volume's grid.
        volume: The source.
        bundle: What made the label.
        options: What is wanted.
        picture: The montage, ``(H, W, 3)`` uint8.
    """
    if not isinstance(volume.origin, DicomOrigin):
        return {}, []
    writers: Writers = {}
    remarks = _why_no_seg(volume.origin, volume.grid) if options.seg else []
    if options.seg and not remarks:
        writers["seg.dcm"] = partial(write_dicom_seg, label=label, volume=volume, **_seg_settings(bundle, options))
    if options.preview:
        algorithm = _algorithm(bundle)
        writers["preview.dcm"] = partial(
            write_dicom_preview, picture=picture, source=volume.origin.files[0], algorithm=algorithm
        )
    return writers, remarks


def image_results(
    label: np.ndarray, source: PathLike, bundle: Bundle, options: DicomOptions, picture: np.ndarray
) -> Writers:
    """Return the writers for a single DICOM image, as `volume_results` does; ``label`` is ``(H, W)``."""
    writers: Writers = {}
    if options.seg:
        writers["seg.dcm"] = partial(write_dicom_seg_2d, label=label, source=source, **_seg_settings(bundle, options))
    if options.preview:
        algorithm = _algorithm(bundle)
        writers["preview.dcm"] = partial(write_dicom_preview, picture=picture, source=source, algorithm=algorithm)
    return writers


def _why_no_seg(origin: DicomOrigin, grid: VoxelGrid) -> list[str]:
    """A repaired series may have slices that are no frames of it: the label map is written all the same."""
    if not origin.is_repaired:
        return []
    try:
        place_frames(origin.files, grid, is_repaired=True)
    except OutputError as error:
        return [f"No DICOM SEG was written: {error}"]
    return []


def _seg_settings(bundle: Bundle, options: DicomOptions) -> dict[str, Any]:
    return {
        "segments": bundle.segments,
        "algorithm": _algorithm(bundle),
        "kind": options.kind,
        "terminology": options.terminology,
        "empty": options.empty,
    }


def _algorithm(bundle: Bundle) -> AlgorithmInfo:
    return AlgorithmInfo(name=bundle.name, version=f"{bundle.version} ({__version__})", digest=bundle.digest)
