# SPDX-License-Identifier: Apache-2.0
"""From a DICOM series to a volume: pixels decoded and scaled slice by slice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.io.dicom.decode import decode_frames
from monai_semigan.io.dicom.repair import straighten
from monai_semigan.io.dicom.series import DicomSeries
from monai_semigan.io.dicom.stack import StackPlan
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.types import Progress

__all__ = ["read_dicom_series"]

SLICES_PER_REPORT = 16
"""Of progress."""

OUTSIDE_CT = -1000.0
"""HU of air: what padding and the corners that straightening a tilted stack leaves become."""

INT16 = np.iinfo(np.int16)


def read_dicom_series(series: DicomSeries, *, name: str, progress: Progress | None = None) -> SourceVolume:
    """Read the pixels of a series into a volume, by its plan.

    Each slice is scaled by its own slope and intercept or modality table (PS3.3 C.11.1; CT: to HU); padding is air, in
    others than CT 0. Real-world value maps, windows and inverted display (MONOCHROME1) are not applied. Whole numbers
    within 16 bits become int16, all else float32.

    Args:
        series: As found by `find_series`.
        name: Of the case.
        progress: Called after every few slices.

    Raises:
        InputError: A file cannot be decoded, or all values are equal.
        GeometryError: It is no regular volume, with the numbers of the slices concerned.
    """
    info, plan = series.info, series.plan
    if plan is None:
        raise GeometryError(f"`{name}`: {series.fault}")
    stack = _filled(plan, name, OUTSIDE_CT if info.modality == "CT" else 0.0, progress)
    voxels = stack.transpose(2, 1, 0)  # (K, J, I) to (I, J, K); a view
    require_image_values(name, voxels)
    warnings = list(plan.warnings)
    if info.part[1] > 1:
        warnings.append(f"The series holds {info.part[1]} stacks; this is number {info.part[0]}.")
    return SourceVolume(
        name=name,
        voxels=voxels,
        grid=plan.grid,
        modality=info.modality,
        origin=_origin(plan, info.series_uid),
        warnings=tuple(warnings),
    )


def _origin(plan: StackPlan, series_uid: str) -> DicomOrigin:
    files = tuple(dict.fromkeys(frame.file for frame in plan.frames))
    slices: list[int | None] = [None] * len(plan.frames)
    for place, at in enumerate(plan.sources):
        if not plan.is_filled[place]:
            frame = plan.frames[at].frame
            slices[at if frame is None else frame - 1] = place
    return DicomOrigin(
        series_uid=series_uid,
        files=tuple(file.path for file in files),
        headers=tuple(file.header for file in files),
        slices=tuple(slices),
        is_repaired=plan.is_repaired,
        is_resampled=plan.offsets_px is not None,
    )


def _filled(plan: StackPlan, name: str, outside: float, progress: Progress | None) -> np.ndarray:
    """Read the planned volume, ``(K, J, I)``; padding and what lies outside tilted slices is ``outside``."""
    columns, rows, num_slices = plan.grid.shape
    stack = np.empty((num_slices, rows, columns), dtype=np.int16)
    done = 0
    for at, plane in enumerate(_planes(plan, name, outside)):
        for place in np.flatnonzero(plan.sources == at):
            placed = plane
            if plan.offsets_px is not None:
                placed = straighten(plane, plan.offsets_px[place], size=(rows, columns), outside=outside)
                placed = np.rint(placed) if stack.dtype == np.int16 and _is_int16(plane) else placed
            if stack.dtype == np.int16 and not _is_int16(placed):
                stack = stack.astype(np.float32)
            stack[place] = placed
            done += 1
        if progress is not None and (done % SLICES_PER_REPORT == 0 or done == num_slices):
            progress(done, num_slices)
    return stack


def _is_int16(values: np.ndarray) -> bool:
    return bool(
        values.min() >= INT16.min and values.max() <= INT16.max and np.array_equal(values, values.astype(np.int32))
    )


def _planes(plan: StackPlan, name: str, outside: float) -> Iterator[np.ndarray]:
    """Yield the values of each frame, ``(rows, columns)``, in order: of one multi-frame file, or a file per slice."""
    frames = plan.frames
    groups = [frames] if frames[0].frame is not None else [(frame,) for frame in frames]
    for group in groups:
        for decoded in decode_frames(group, name):
            values, is_padding = decoded.values, decoded.is_padding
            if values.ndim != 2:
                raise InputError(f"`{name}` must be a series of grey slices, got color.")
            yield values if is_padding is None else np.where(is_padding, np.float32(outside), values)
