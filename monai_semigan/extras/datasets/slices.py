# SPDX-License-Identifier: Apache-2.0
"""Cut labelled volumes into axial images as radiologists see them, and keep the volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import plane_name, reorient_to
from monai_semigan.io.label_file import write_label

__all__ = ["ct_to_grey", "mr_to_grey", "write_slices"]

CT_WINDOW_HU = (0.0, 255.0)
"""HU that become grey 0 and 255: the window of ``liver_ct_segmentation``, in which one grey level is one HU."""

MR_TOP_PERCENTILE = 99.5
"""Of a whole volume, becomes grey 255; 0 stays 0."""

STEP_MM = 5.0
"""Distance of written slices; thinner ones repeat their neighbours."""

MARGIN_MM = 30.0
"""Slices up to this far above and below the organ are written too: a generator must have seen where it is not."""


def ct_to_grey(voxels: np.ndarray) -> np.ndarray:
    """Show HU in `CT_WINDOW_HU`, uint8."""
    low, high = CT_WINDOW_HU
    grey: np.ndarray = np.rint((np.clip(voxels, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    return grey


def mr_to_grey(voxels: np.ndarray) -> np.ndarray:
    """Show MR from 0 to `MR_TOP_PERCENTILE` of the volume, uint8."""
    top = max(float(np.percentile(voxels, MR_TOP_PERCENTILE)), 1e-6)
    grey: np.ndarray = np.rint(np.clip(voxels / top, 0, 1) * 255).astype(np.uint8)
    return grey


def write_slices(
    folder: Path, name: str, voxels: np.ndarray, label: np.ndarray, grid: VoxelGrid, *, is_ct: bool
) -> tuple[dict[str, Any], ...]:
    """Write ``images/NAME_k.png`` and ``labels/NAME_k.png``; k counts from the lowest slice, all slices included.

    Voxels and class ids are ``(I, J, K)`` on the grid. Rows run to posterior and columns to the patient's left.

    Returns:
        One entry per slice; ``has_organ`` says whether its label is not empty, ``spacing_mm`` is (row, column).

    Raises:
        GeometryError: The volume is not axial.
    """
    if plane_name(grid.affine) != "axial":
        raise GeometryError(f"`{name}` must have axial slices, got {plane_name(grid.affine)} ones.")
    view = reorient_to(grid)
    voxels = view.apply((ct_to_grey if is_ct else mr_to_grey)(voxels))
    label = view.apply(label)
    columns_mm, rows_mm, gap_mm = view.target.spacing_mm
    entries: list[dict[str, Any]] = []
    for k in _chosen(label, gap_mm):
        image, mask = (f"{part}/{name}_{k:04d}.png" for part in ("images", "labels"))
        Image.fromarray(np.ascontiguousarray(voxels[:, :, k].T)).save(_made(folder / image))
        write_label(_made(folder / mask), np.ascontiguousarray(label[:, :, k].T))
        has_organ = bool(label[:, :, k].any())
        entries.append({"image": image, "spacing_mm": [rows_mm, columns_mm], "label": mask, "has_organ": has_organ})
    return tuple(entries)


def _chosen(label: np.ndarray, gap_mm: float) -> range:
    step = max(1, round(STEP_MM / gap_mm))
    with_organ, count = np.flatnonzero(label.any(axis=(0, 1))), label.shape[2]
    if not with_organ.size:
        return range(0, count, step)
    margin = round(MARGIN_MM / gap_mm)
    return range(max(0, int(with_organ[0]) - margin), min(count, int(with_organ[-1]) + margin + 1), step)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
