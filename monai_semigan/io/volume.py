# SPDX-License-Identifier: Apache-2.0
"""A volume as its file or series holds it, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid

__all__ = ["DicomOrigin", "NiftiOrigin", "SourceVolume"]


@dataclass(frozen=True, kw_only=True)
class DicomOrigin:
    """The DICOM series that a volume was built from, with all that a result needs to refer to it.

    Attributes:
        series_uid: SeriesInstanceUID (0020,000E).
        files: The instances in the order of the volume's last axis; a single one if it is multi-frame.
        headers: For each file its header (pydicom datasets) without pixels.
        slices: For each frame, in the order of ``files`` or of the frames in a single one, its slice along the volume's
            last axis; None for one that is no slice.
        is_repaired: Slices were filled in or resampled.
        is_resampled: Slices were shifted within their planes, so that they do not lie on the series' frames.
    """

    series_uid: str
    files: tuple[Path, ...]
    headers: tuple[Any, ...] = field(repr=False)  # their text is the patient's
    slices: tuple[int | None, ...]
    is_repaired: bool = False
    is_resampled: bool = False


@dataclass(frozen=True, kw_only=True)
class NiftiOrigin:
    """What a label map needs to lie on the NIfTI file that it was made from.

    Attributes:
        qform: ``(4, 4)`` and its code, or None and 0.
        sform: ``(4, 4)`` and its code, or None and 0.
        units: ``xyzt_units`` of the header.
        shape: Shape in the file, which may have trailing axes of size 1.
    """

    qform: tuple[np.ndarray | None, int]
    sform: tuple[np.ndarray | None, int]
    units: int
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SourceVolume:
    """A volume in memory.

    Attributes:
        name: Of the case, safe as a folder's name: the file's or folder's stem, never a patient's name or number.
        voxels: ``(I, J, K)``, as stored for NIfTI, MHA and NRRD; for DICOM columns grow along I, rows along J, slices
            along K, and values are rescaled (CT: HU, int16 where that is exact, else float32).
        grid: Where they lie.
        modality: ``CT``, ``MR`` or another DICOM Modality (0008,0060); None if the format does not say.
        origin: What outputs need to lie on the source; None for MHA and NRRD.
        warnings: What a reader of the result should know.
    """

    name: str
    voxels: np.ndarray
    grid: VoxelGrid
    modality: str | None = None
    origin: DicomOrigin | NiftiOrigin | None = None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.voxels.shape != self.grid.shape:
            raise GeometryError(f"`voxels` must have the grid's shape {self.grid.shape}, got {self.voxels.shape}.")
