# SPDX-License-Identifier: Apache-2.0
"""From the headers of a series to the grid of its volume, or to the reason why it has none. No pixels are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.geometry.slices import SliceStack, stack_slices
from monai_semigan.io.dicom.headers import FrameHeader
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions, fill_positions
from monai_semigan.io.limits import MAX_SLICES

__all__ = ["StackPlan", "plan_stack"]

MAX_SHIFT_PX = 0.25
"""Slices beside the stack's axis by less than this, in pixels, over the whole stack, were only rounded."""

REPORTED_SHIFT_MM = 0.01
"""Less than this is not worth a warning."""

SINGLE_SLICE_MM = 1.0
"""Thickness of a single slice whose header does not say it."""

SAME_NUMBER = 1e-3
"""Pixel spacings (mm) and direction cosines that differ by less are equal but for rounding."""

MAX_LISTED = 5
"""Slice numbers that an error spells out."""


@dataclass(frozen=True, kw_only=True)
class StackPlan:
    """How frames become a volume.

    Attributes:
        frames: The frames in the order of the volume's slices, each once.
        sources: For each slice of the volume its position in ``frames``, ``(K,)``.
        is_filled: Slices that are copies of a neighbor, ``(K,)``.
        grid: Columns, rows, slices.
        offsets_px: Where each slice's first pixel comes to lie in the grid: column, row, ``(K, 2)``; None: at its
            corner.
        warnings: What was found odd or was repaired.
    """

    frames: tuple[FrameHeader, ...]
    sources: np.ndarray
    is_filled: np.ndarray
    grid: VoxelGrid
    offsets_px: np.ndarray | None
    warnings: tuple[str, ...]

    @property
    def is_repaired(self) -> bool:
        """Whether slices were filled in or are to be resampled."""
        return bool(self.is_filled.any()) or self.offsets_px is not None


def plan_stack(frames: Sequence[FrameHeader], repairs: RepairOptions = NO_REPAIRS) -> StackPlan:
    """Find the regular grid that frames of one series form.

    Positions are those of Image Plane (PS3.3 C.7.6.2.1.1); InstanceNumber is never used for the order.

    Raises:
        GeometryError: They form none, with the reason and the numbers of the slices concerned.
    """
    for frame in frames:
        if frame.fault is not None:
            raise GeometryError(f"`{frame.path.name}` {frame.fault}. Copy it again.")
    if len(frames) > MAX_SLICES:
        raise GeometryError(f"A series must have at most {MAX_SLICES:,} slices, got {len(frames):,}.")
    _require_equal_frames(frames)
    orientation = frames[0].orientation or ()
    stack = stack_slices(np.array([frame.position_mm for frame in frames]), orientation[:3], orientation[3:])
    ordered = tuple(frames[at] for at in stack.order)
    warnings = list(_remarks(ordered, stack))
    if len(ordered) == 1:
        sources, spacing_mm = np.zeros(1, dtype=int), _single_thickness(ordered[0], warnings)
    else:
        sources, spacing_mm = _regular_stack(stack, ordered, repairs, warnings), stack.spacing_mm
    is_filled = ~np.isin(np.arange(len(sources)), stack.indices)
    shifts = _shifts_px(stack, ordered, repairs, warnings)
    offsets = None if shifts is None else shifts[sources]
    grid, offsets = _grid(stack, ordered[0], len(sources), spacing_mm, offsets)
    return StackPlan(
        frames=ordered, sources=sources, is_filled=is_filled, grid=grid, offsets_px=offsets, warnings=tuple(warnings)
    )


def _require_equal_frames(frames: Sequence[FrameHeader]) -> None:
    needed = {
        "ImagePositionPatient": [frame.position_mm for frame in frames],
        "ImageOrientationPatient": [frame.orientation for frame in frames],
        "PixelSpacing": [frame.pixel_spacing_mm for frame in frames],
    }
    for name, values in needed.items():
        without = [frame for frame, value in zip(frames, values, strict=True) if value is None]
        if without:
            is_malformed = any(name in frame.malformed for frame in without)
            remedy = "Correct it" if is_malformed else "Export the series again without removing this tag"
            raise GeometryError(
                f"Every slice must say where it lies, but {_slices(without)} of {len(frames)} {_have(without)} no "
                f"{'usable ' if is_malformed else ''}{name}. {remedy}."
            )
    same: dict[str, Callable[[FrameHeader], Any]] = {
        "size": lambda frame: (frame.columns, frame.rows),
        "pixel spacing": lambda frame: frame.pixel_spacing_mm,
        "orientation": lambda frame: frame.orientation,
        "unit of values": _unit,
    }
    for name, found in same.items():
        _require_one(frames, name, found)
    for frame in frames:
        if not all(np.isfinite(step) and step > 0 for step in frame.pixel_spacing_mm or ()):
            raise GeometryError(
                f"Slice {frame.number} must have a pixel spacing above 0, got {_text(frame.pixel_spacing_mm)}. "
                "Correct the header."
            )
        if frame.is_rescale_incomplete and frame.modality == "CT":
            raise GeometryError(
                f"Slice {frame.number} must have a rescale slope and intercept that are numbers: without, a CT has no "
                "HU. Correct the header."
            )
        if frame.rescale is not None and not (frame.rescale[0] and np.isfinite(frame.rescale).all()):
            raise GeometryError(f"Slice {frame.number} must have a rescale slope other than 0, got {frame.rescale[0]}.")


def _require_one(frames: Sequence[FrameHeader], name: str, found: Callable[[FrameHeader], Any]) -> None:
    counts = Counter(found(frame) for frame in frames)
    usual = counts.most_common(1)[0][0]
    different = {value for value in counts if not _is_same(value, usual)}
    if different:
        odd = [frame for frame in frames if found(frame) in different]
        raise GeometryError(
            f"All slices must have the same {name}, but {_slices(odd)} {_have(odd)} {_text(found(odd[0]))} where "
            f"{len(frames) - len(odd)} others have {_text(usual)}. Split the series."
        )


def _unit(frame: FrameHeader) -> str:
    """Unit of the rescaled values; where it is not said, it is HU in CT, else unspecified (PS3.3 C.11.1.1.2)."""
    if frame.has_modality_lut:
        return "modality table"
    if frame.rescale is None:
        return "no rescale"
    return frame.rescale_type or ("HU" if frame.modality == "CT" else "US")


def _is_same(value: Any, usual: Any) -> bool:
    if isinstance(value, tuple):
        return bool(np.allclose(value, usual, rtol=0, atol=SAME_NUMBER))
    return bool(value == usual)


def _regular_stack(
    stack: SliceStack, ordered: tuple[FrameHeader, ...], repairs: RepairOptions, warnings: list[str]
) -> np.ndarray:
    """Positions in ``ordered`` of the volume's slices, or the fault."""
    if stack.duplicates:
        pairs = [(ordered[at], ordered[at + 1]) for at in stack.duplicates]
        are_copies = all(lower.instance_uid == upper.instance_uid and lower.frame is None for lower, upper in pairs)
        cause = "copies of one instance" if are_copies else "several phases, echoes or series in one (4-D)"
        raise GeometryError(
            f"Every slice must have a position of its own, but slices {_pairs(pairs)} share one: {cause}. "
            "Keep one of each."
        )
    if stack.uneven:
        pairs = [(ordered[at], ordered[at + 1]) for at in stack.uneven]
        gaps = stack.gaps_mm[stack.uneven]
        raise GeometryError(
            f"Slices must be evenly spaced, but slices {_pairs(pairs)} are {_listed(gaps)} mm apart, the others "
            f"{stack.spacing_mm:.3f} mm: spacings are mixed or a slice belongs to another series. Split the series."
        )
    missing = stack.missing
    if not missing:
        return np.arange(len(ordered))
    count = sum(missing.values())
    pairs = [(ordered[at], ordered[at + 1]) for at in missing]
    if not repairs.fill_missing:
        gaps = stack.gaps_mm[list(missing)]
        raise GeometryError(
            f"Slices {_pairs(pairs)} are {_listed(gaps)} mm apart, the others {stack.spacing_mm:.3f} mm: {count} "
            f"{'slice is' if count == 1 else 'slices are'} missing. Fetch the series again, or pass --fill-missing."
        )
    if stack.indices[-1] >= MAX_SLICES:
        raise GeometryError(f"A series must have at most {MAX_SLICES:,} slices, got {stack.indices[-1] + 1:,}.")
    warnings.append(f"{count} missing slices between {_pairs(pairs)} were filled with copies of the nearest slice.")
    return fill_positions(stack.indices)


def _shifts_px(
    stack: SliceStack, ordered: tuple[FrameHeader, ...], repairs: RepairOptions, warnings: list[str]
) -> np.ndarray | None:
    """In-plane place of each frame, columns and rows in pixels, ``(N, 2)``; None if all stand straight."""
    row_mm, column_mm = ordered[0].pixel_spacing_mm or (1.0, 1.0)
    shifts: np.ndarray = stack.offsets_mm / (column_mm, row_mm)
    if np.abs(shifts).max() <= MAX_SHIFT_PX:
        if stack.max_offset_mm > REPORTED_SHIFT_MM:
            warnings.append(f"Slices lie up to {stack.max_offset_mm:.2f} mm beside the stack's axis; this was ignored.")
        return None
    tilt = f"{stack.tilt_degrees:.1f} degrees, up to {stack.max_offset_mm:.1f} mm"
    if repairs.tilt != "resample":
        beside = [frame for frame, shift in zip(ordered, shifts, strict=True) if np.abs(shift).max() > MAX_SHIFT_PX]
        raise GeometryError(
            f"Slices must stand straight above each other, but {_slices(beside)} lie beside the first one's normal "
            f"(gantry tilt of {tilt}). Pass --tilt resample to straighten the stack."
        )
    warnings.append(f"A gantry tilt of {tilt} was removed: slices were shifted within their planes and interpolated.")
    return shifts


def _grid(
    stack: SliceStack, first: FrameHeader, num_slices: int, spacing_mm: float, offsets_px: np.ndarray | None
) -> tuple[VoxelGrid, np.ndarray | None]:
    row_mm, column_mm = first.pixel_spacing_mm or (1.0, 1.0)
    size, origin = np.array([first.columns, first.rows]), stack.origin_mm
    if offsets_px is not None:
        low = np.floor(offsets_px.min(axis=0))
        offsets_px = offsets_px - low
        size = size + np.ceil(offsets_px.max(axis=0)).astype(int)
        origin = origin + stack.axes[:, :2] @ (low * (column_mm, row_mm))
    affine = np.eye(4)
    affine[:3, :3] = stack.axes * (column_mm, row_mm, spacing_mm)
    affine[:3, 3] = origin
    return VoxelGrid((int(size[0]), int(size[1]), num_slices), lps_from_ras(affine)), offsets_px


def _single_thickness(frame: FrameHeader, warnings: list[str]) -> float:
    thickness = frame.thickness_mm or frame.slice_spacing_mm
    if thickness is not None and np.isfinite(thickness) and thickness > 0:
        warnings.append(f"A single slice: its thickness of {thickness:g} mm was taken for the third dimension.")
        return thickness
    warnings.append(f"A single slice without a thickness: {SINGLE_SLICE_MM:g} mm was taken.")
    return SINGLE_SLICE_MM


def _remarks(ordered: tuple[FrameHeader, ...], stack: SliceStack) -> Iterable[str]:
    if any(frame.is_lossy for frame in ordered):
        yield "The images were compressed with loss."
    if any(frame.is_rescale_incomplete for frame in ordered):
        yield "RescaleSlope or RescaleIntercept holds no number; 1 and 0 were taken for what is missing."
    for keyword in dict.fromkeys(keyword for frame in ordered for keyword in frame.malformed):
        if not keyword.startswith("Rescale"):
            yield f"{keyword}: malformed, taken as unknown."
    if ordered[0].modality == "CT" and ordered[0].rescale is None and not ordered[0].has_modality_lut:
        yield "The CT has no rescale slope and intercept: its values may not be HU."
    claimed = ordered[0].slice_spacing_mm
    if claimed and len(ordered) > 1 and abs(abs(claimed) - stack.spacing_mm) > 0.1 * stack.spacing_mm:
        yield (
            f"The header says that slices are {abs(claimed):g} mm apart, their positions {stack.spacing_mm:.4g} mm; "
            "the positions were used."
        )


def _slices(frames: Sequence[FrameHeader]) -> str:
    names = [frame.number for frame in frames[:MAX_LISTED]]
    more = f" and {len(frames) - MAX_LISTED} more" if len(frames) > MAX_LISTED else ""
    return f"{'slice' if len(frames) == 1 else 'slices'} {', '.join(names)}{more}"


def _pairs(pairs: Sequence[tuple[FrameHeader, FrameHeader]]) -> str:
    names = [
        f"{lower.number} and {upper.number}"
        if lower.number != upper.number
        else f"`{lower.path.name}` and `{upper.path.name}`"
        for lower, upper in pairs[:MAX_LISTED]
    ]
    more = f"; {len(pairs) - MAX_LISTED} more" if len(pairs) > MAX_LISTED else ""
    return "; ".join(names) + more


def _have(frames: Sequence[FrameHeader]) -> str:
    return "has" if len(frames) == 1 else "have"


def _listed(values: np.ndarray) -> str:
    return ", ".join(dict.fromkeys(f"{value:.3f}" for value in values[:MAX_LISTED]))


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ("\\" if len(value) == 6 else " x ").join(f"{entry:.4g}" for entry in value)
    return str(value)
