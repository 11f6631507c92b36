# SPDX-License-Identifier: Apache-2.0
"""DICOM series among files: headers first, grouped, and taken or left by rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_semigan.errors import GeometryError
from monai_semigan.geometry.orientation import lps_from_ras, plane_name
from monai_semigan.geometry.slices import orthonormal, stack_slices
from monai_semigan.io.dicom.file import DicomFile
from monai_semigan.io.dicom.headers import FrameHeader, find_frames
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import LOCALIZER_TYPES, SeriesInfo, SeriesRules, why_no_slices
from monai_semigan.io.dicom.stack import StackPlan, plan_stack
from monai_semigan.types import Progress

__all__ = ["DicomSeries", "find_series"]

SAME_DIRECTION = 1e-3
"""Direction cosines of one stack differ by less: rounding, and scanners that compute them per slice."""


@dataclass(frozen=True, kw_only=True)
class DicomSeries:
    """Frames that should form one volume, and what is known about them.

    Attributes:
        info: For lists and reports.
        frames: Headers, in the order in which they were found.
        plan: How they become a volume; None if they cannot.
        fault: Why not.
    """

    info: SeriesInfo
    frames: tuple[FrameHeader, ...]
    plan: StackPlan | None
    fault: str | None

    @property
    def files(self) -> tuple[DicomFile, ...]:
        """The files, each once, in the order in which they were found."""
        return tuple(dict.fromkeys(frame.file for frame in self.frames))

    def release(self) -> None:
        """Let the files' bytes go."""
        for file in self.files:
            file.release()


def find_series(
    files: Iterable[Path],
    rules: SeriesRules | None = None,
    *,
    repairs: RepairOptions = NO_REPAIRS,
    room: int = 0,
    progress: Progress | None = None,
) -> list[DicomSeries]:
    """Find the series among files and say of each whether and why it is taken.

    Instances are grouped by SeriesInstanceUID. Within one, stacks of another frame of reference or orientation (as in
    localizers) are separate; so are multi-frame instances, and echoes and image types that cover the same positions.

    Args:
        files: Any files; those without DICOM's mark are passed over.
        rules: Which series to take.
        repairs: What may be done to a series when it is read: it is part of the plan.
        room: Bytes of the files that may be held until they are read, so that no file is opened twice.
        progress: Called after each file.
    """
    rules = rules or SeriesRules()
    by_uid: dict[str, list[FrameHeader]] = defaultdict(list)
    for frame in find_frames(files, room=room, progress=progress):
        by_uid[frame.series_uid or str(frame.path.parent)].append(frame)
    found = []
    for frames in by_uid.values():
        stacks = _stacks(frames)
        for number, stack in enumerate(stacks, start=1):
            found.append(_judged(stack, (number, len(stacks)), rules, repairs))
    return sorted(found, key=lambda series: (series.info.series_number or 0, series.info.series_uid, series.info.part))


def _judged(
    frames: Sequence[FrameHeader], part: tuple[int, int], rules: SeriesRules, repairs: RepairOptions
) -> DicomSeries:
    first = frames[0]
    info = SeriesInfo(
        series_uid=first.series_uid,
        part=part,
        series_number=first.series_number,
        modality=first.modality,
        description=first.description,
        body_part=first.body_part,
        num_slices=len(frames),
        plane=_plane(first),
        shape=(first.columns, first.rows),
        spacing_mm=None,
        is_localizer=bool(LOCALIZER_TYPES & set(first.image_type)),
    )
    reason = why_no_slices(first.sop_class_uid, first.image_type, first.samples) or rules.why_left(info)
    plan, fault = None, None
    try:
        plan = plan_stack(frames, repairs)
        if plan.is_repaired and plan.frames[0].frame is not None:
            raise GeometryError("Frames of a multi-frame object are not repaired. Convert it to single frames.")
    except GeometryError as error:
        plan, fault = None, str(error)
    info = replace(
        info,
        spacing_mm=None if plan is None else plan.grid.spacing_mm,
        is_taken=reason is None,
        reason=reason or ("fits" if fault is None else "fits, but cannot be read"),
        fault=None if reason else fault,
    )
    series = DicomSeries(info=info, frames=tuple(frames), plan=plan, fault=fault)
    if reason or fault:
        series.release()
    return series


def _stacks(frames: list[FrameHeader]) -> list[list[FrameHeader]]:
    """Split the instances of one series into what should be one volume each."""
    stacks = []
    for instance in _split(
        frames, lambda frame: (frame.path if frame.frame is not None else None, frame.sop_class_uid)
    ):
        if instance[0].frame is not None:  # a multi-frame instance is one volume or none
            stacks.append(instance)
            continue
        for parallel in _by_direction(instance):
            stacks += _by_contrast(parallel)
    return stacks


def _split(frames: Iterable[FrameHeader], key: Callable[[FrameHeader], Hashable]) -> list[list[FrameHeader]]:
    groups: dict[Hashable, list[FrameHeader]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def _by_direction(frames: list[FrameHeader]) -> list[list[FrameHeader]]:
    """Split by frame of reference and orientation; a slice that does not say its own stays with the first others."""
    groups: list[list[FrameHeader]] = []
    for frame in sorted(frames, key=lambda frame: frame.orientation is None):
        for group in groups:
            if _is_parallel(group[0], frame):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _is_parallel(known: FrameHeader, frame: FrameHeader) -> bool:
    places = {known.frame_of_reference_uid, frame.frame_of_reference_uid} - {None}
    if len(places) > 1:
        return False
    if frame.orientation is None or known.orientation == frame.orientation:
        return True
    return known.orientation is not None and bool(
        np.allclose(known.orientation, frame.orientation, rtol=0, atol=SAME_DIRECTION)
    )


def _by_contrast(frames: list[FrameHeader]) -> list[list[FrameHeader]]:
    """Split by echo time or image type where that leaves each position once: dual-echo and Dixon series."""
    if not _has_duplicates(frames):
        return [frames]
    for key in (lambda frame: frame.echo_time_ms, lambda frame: frame.image_type):
        groups = _split(frames, key)
        if len({len(group) for group in groups}) == 1 and not any(_has_duplicates(group) for group in groups):
            return groups
    return [frames]


def _has_duplicates(frames: list[FrameHeader]) -> bool:
    orientation = frames[0].orientation
    if orientation is None or any(frame.position_mm is None for frame in frames):
        return False
    try:
        positions = np.array([frame.position_mm for frame in frames])
        return bool(stack_slices(positions, orientation[:3], orientation[3:]).duplicates)
    except GeometryError:
        return False


def _plane(frame: FrameHeader) -> str | None:
    if frame.orientation is None:
        return None
    affine = np.eye(4)
    try:
        affine[:3, :3] = orthonormal(frame.orientation[:3], frame.orientation[3:])
    except GeometryError:
        return None
    return plane_name(lps_from_ras(affine))
