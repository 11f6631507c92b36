# SPDX-License-Identifier: Apache-2.0
"""From a DICOM series to a volume: pixels decoded and rescaled a few slices at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from monai_semigan.errors import GeometryError, InputError
from monai_semigan.geometry.grid import MAX_SPACING_MM
from monai_semigan.io.dicom.headers import FrameHeader, quiet_pydicom
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions, straighten
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.dicom.series import DicomSeries, files_in, find_series
from monai_semigan.io.dicom.stack import StackPlan, plan_stack
from monai_semigan.io.limits import check_pixel_count
from monai_semigan.io.value_checks import require_image_values
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.types import PathLike, Progress

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["read_dicom_series", "read_dicom_volume"]

SLICES_AT_ONCE = 16
"""Files whose pixels are in memory beside the volume."""

OUTSIDE_CT = -1000.0
"""HU of air: fills the corners that straightening a tilted stack leaves."""

UNKNOWN_UID = "1.2.3"
"""Stands for an identifier that an anonymization removed; highdicom wants one, and it goes nowhere."""

INT16 = np.iinfo(np.int16)


def read_dicom_volume(
    path: PathLike, rules: SeriesRules | None = None, *, repairs: RepairOptions = NO_REPAIRS
) -> SourceVolume:
    """Read the one series that a file or folder holds, or the one that the rules take.

    Raises:
        InputError: None or several are taken, or pixels cannot be decoded.
        GeometryError: The series is no regular volume.
    """
    path = Path(path)
    found = find_series(files_in(path), rules, repairs=repairs)
    taken = [series for series in found if series.info.is_taken]
    if len(taken) != 1:
        left = "; ".join(sorted({series.info.reason for series in found if not series.info.is_taken}))
        raise InputError(
            f"`{path.name}` must hold one DICOM series that fits, but {len(taken)} of {len(found)} do"
            f"{f' (left: {left})' if left else ''}. Choose by rules; `semigan series` lists them."
        )
    return read_dicom_series(taken[0], name=path.stem, repairs=repairs)


def read_dicom_series(
    series: DicomSeries, *, name: str, repairs: RepairOptions = NO_REPAIRS, progress: Progress | None = None
) -> SourceVolume:
    """Read the pixels of a series into a volume.

    Each slice is rescaled by its own slope and intercept (PS3.3 C.11.1.1.2; CT: to HU). Real-world value maps, windows
    and inverted display (MONOCHROME1) are not applied. Whole numbers within 16 bits become int16, all else float32.

    Args:
        series: As found by `find_series`.
        name: Of the case.
        repairs: What may be done to an irregular series.
        progress: Called after every few slices.

    Raises:
        InputError: A file cannot be decoded, or all values are equal.
        GeometryError: It is no regular volume, with the numbers of the slices concerned.
    """
    info = series.info
    try:
        plan = plan_stack(series.frames, repairs)
    except GeometryError as error:
        raise GeometryError(f"`{name}`: {error}") from error
    if plan.is_repaired and plan.frames[0].frame is not None:
        raise GeometryError(f"`{name}`: frames of a multi-frame object are not repaired. Convert it to single frames.")
    check_pixel_count(name, plan.frames[0].columns, plan.frames[0].rows)
    stack = _filled(plan, name, OUTSIDE_CT if info.modality == "CT" else 0.0, progress)
    voxels = stack.transpose(2, 1, 0)  # (K, J, I) to (I, J, K); a view
    require_image_values(name, voxels)
    warnings = list(plan.warnings)
    if info.part[1] > 1:
        warnings.append(f"The series holds {info.part[1]} stacks; this is number {info.part[0]}.")
    files = tuple(frame.path for frame in plan.frames)
    sources = [None if filled else plan.frames[at] for at, filled in zip(plan.sources, plan.is_filled, strict=True)]
    origin = DicomOrigin(
        series_uid=info.series_uid,
        files=tuple(dict.fromkeys(files)),
        is_repaired=plan.is_repaired,
        slice_files=tuple(None if frame is None else frame.path for frame in sources),
        slice_frames=tuple(None if frame is None else frame.frame for frame in sources),
    )
    return SourceVolume(
        name=name, voxels=voxels, grid=plan.grid, modality=info.modality, origin=origin, warnings=tuple(warnings)
    )


def _filled(plan: StackPlan, name: str, outside: float, progress: Progress | None) -> np.ndarray:
    """Read the planned volume, ``(K, J, I)``; values outside tilted slices are ``outside``."""
    columns, rows, num_slices = plan.grid.shape
    stack = np.empty((num_slices, rows, columns), dtype=np.int16)
    done = 0
    for at, plane in enumerate(_planes(plan.frames, name)):
        for place in np.flatnonzero(plan.sources == at):
            placed = plane
            if plan.offsets_px is not None:
                placed = straighten(plane, plan.offsets_px[place], size=(rows, columns), outside=outside)
                placed = np.rint(placed) if stack.dtype == np.int16 and _is_int16(plane) else placed
            if stack.dtype == np.int16 and not _is_int16(placed):
                stack = stack.astype(np.float32)
            stack[place] = placed
            done += 1
        if progress is not None and (done % SLICES_AT_ONCE == 0 or done == num_slices):
            progress(done, num_slices)
    return stack


def _is_int16(values: np.ndarray) -> bool:
    return bool(
        values.min() >= INT16.min and values.max() <= INT16.max and np.array_equal(values, values.astype(np.int32))
    )


def _planes(frames: Sequence[FrameHeader], name: str) -> Iterator[np.ndarray]:
    """Yield the rescaled pixels of each frame, ``(rows, columns)`` float32, in order."""
    if frames[0].frame is not None:
        yield from _multiframe_planes(frames, name)
        return
    for start in range(0, len(frames), SLICES_AT_ONCE):
        yield from _series_planes(frames[start : start + SLICES_AT_ONCE], name)


def _series_planes(frames: Sequence[FrameHeader], name: str) -> np.ndarray:
    """Read single-frame files through highdicom's volume reader, ``(N, rows, columns)`` float32."""
    from highdicom.image import get_volume_from_series  # noqa: PLC0415  (1 s to import)

    with quiet_pydicom():
        datasets = [_decoded(frame, frames[0], name) for frame in frames]
        try:
            volume = get_volume_from_series(
                datasets,
                dtype=np.float32,
                apply_real_world_transform=False,
                apply_presentation_lut=False,
                # The plan has judged the geometry: with gaps to fill and a tilt to remove, where that was asked for.
                atol=MAX_SPACING_MM,
                perpendicular_tol=2.0,
            )
        except (ValueError, TypeError, AttributeError, KeyError, RuntimeError) as error:
            raise InputError(
                f"`{name}`: slices {frames[0].number} to {frames[-1].number} cannot be read: {error}"
            ) from error
    normal = np.cross((frames[0].orientation or ())[:3], (frames[0].orientation or ())[3:])
    is_reversed = float(volume.affine[:3, 0] @ normal) < 0
    array: np.ndarray = volume.array[::-1] if is_reversed else volume.array
    return array


def _decoded(frame: FrameHeader, first: FrameHeader, name: str) -> Dataset:
    """Read one file, with what the plan has found equal made equal: rounding, and tags that anonymization removed."""
    import pydicom  # noqa: PLC0415  (0.3 s to import)

    try:
        dataset = pydicom.dcmread(frame.path)
        _ = dataset.pixel_array  # decoded here, where the file is known; the dataset keeps it
    except Exception as error:  # decoders raise what they like
        raise _undecodable(name, frame, error) from error
    dataset.ImageOrientationPatient = list(first.orientation or ())
    dataset.PixelSpacing = list(first.pixel_spacing_mm or ())
    dataset.FrameOfReferenceUID = first.frame_of_reference_uid or UNKNOWN_UID
    dataset.SeriesInstanceUID = first.series_uid or UNKNOWN_UID
    return dataset


def _multiframe_planes(frames: Sequence[FrameHeader], name: str) -> Iterator[np.ndarray]:
    """Read the frames of one file by pydicom: highdicom 0.28 opens no file with private dimensions (Philips)."""
    from pydicom.pixels.utils import iter_pixels  # noqa: PLC0415  (0.3 s to import)

    indices = [(frame.frame or 1) - 1 for frame in frames]
    with quiet_pydicom():
        pixels = iter_pixels(frames[0].path, indices=indices)
        for frame in frames:
            try:
                plane = next(pixels)
            except Exception as error:  # decoders raise what they like
                raise _undecodable(name, frame, error) from error
            slope, intercept = frame.rescale or (1.0, 0.0)
            yield (plane * slope + intercept).astype(np.float32)


def _undecodable(name: str, frame: FrameHeader, error: Exception) -> InputError:
    from pydicom.filereader import read_file_meta_info  # noqa: PLC0415  (0.3 s to import)

    try:
        syntax = read_file_meta_info(frame.path).TransferSyntaxUID.name
    except (OSError, AttributeError, ValueError):
        syntax = "unknown"
    return InputError(
        f"`{name}`: the pixels of slice {frame.number} (`{frame.path.name}`, transfer syntax {syntax}) could not be "
        f"decoded ({type(error).__name__}). Copy the file again, or decompress it first."
    )
