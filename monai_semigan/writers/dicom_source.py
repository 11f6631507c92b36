# SPDX-License-Identifier: Apache-2.0
"""The images that a result refers to: their headers, without the patient, and where each frame lies in a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan.errors import InputError, OutputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.writers.dicom_result import TYPE_2, derived_uid, quiet

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SourceFrames", "lean_header", "place_frames", "read_header"]

REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
"""Without one of these nothing can refer to an image."""

KEPT = (
    *REQUIRED,
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "Manufacturer",
    "ManufacturerModelName",
)
"""What `lean_header` takes over: nothing that identifies a person."""

PLANES = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)

MAX_OFFSET_PX = 0.3
"""A frame belongs to a slice up to this distance in its plane, in pixels: positions in headers are rounded ..."""

MAX_OFFSET_SLICES = 0.3
"""... and this one along the stack, in slices."""

MAX_COSINE_DEVIATION = 5e-3
"""Direction cosines may differ by this: three digits in a header, and a stack's mean orientation."""


@dataclass(frozen=True, kw_only=True)
class SourceFrames:
    """A series as highdicom wants it: lean headers whose frames lie in one stack.

    Attributes:
        full: The first file's whole header, for `complete`.
        headers: One per file; a single one if it is multi-frame.
        slices: For each frame its slice along the volume's last axis, ``(N,)``; -1: in none.
    """

    full: Dataset
    headers: tuple[Dataset, ...]
    slices: np.ndarray

    @property
    def instance_uids(self) -> list[str]:
        """SOPInstanceUIDs, in order of the files."""
        return [str(header.SOPInstanceUID) for header in self.headers]


def read_header(path: Path, *, keywords: Sequence[str] | None = None) -> Dataset:
    """Read a DICOM file without its pixels.

    Args:
        path: The file.
        keywords: What to read; None for everything.

    Raises:
        InputError: It is gone, damaged, or lacks what names an image.
    """
    import pydicom  # noqa: PLC0415  (as all DICOM libraries here: only who writes DICOM pays for the import)

    try:
        with quiet():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(keywords) if keywords else None)
            missing = [keyword for keyword in REQUIRED if header.get(keyword) in (None, "")]
    except (pydicom.errors.InvalidDicomError, OSError, EOFError, AttributeError, KeyError, TypeError, ValueError) as e:
        raise InputError(
            f"`{path.name}` must stay readable until its results are written, but is not ({type(e).__name__})."
        ) from e
    if missing:
        raise InputError(f"`{path.name}` must have {', '.join(missing)}: without, no DICOM result can refer to it.")
    return header


def lean_header(header: Dataset) -> Dataset:
    """Copy what a result needs to refer to an image, the patient's and the study's tags empty."""
    from pydicom import Dataset  # noqa: PLC0415  (see read_header)

    lean = Dataset()
    for keyword in KEPT:
        if keyword in header:
            setattr(lean, keyword, header[keyword].value)
    for keyword in TYPE_2:
        setattr(lean, keyword, None)
    lean.Modality = header.get("Modality") or "OT"
    return lean


def place_frames(files: Sequence[Path], grid: VoxelGrid, *, is_repaired: bool = False) -> SourceFrames:
    """Find the slice of the grid that each frame of a series is, by position, orientation and size.

    Args:
        files: The series; a single file if it is multi-frame.
        grid: Of the volume that was made from it: columns, rows, slices.
        is_repaired: The volume has slices that are no frames; words the error.

    Raises:
        InputError: A file is damaged or gone.
        OutputError: The volume's slices are not the frames: it was resampled, or belongs to another series.
    """
    first = read_header(files[0])
    headers, planes = [], []
    for at, path in enumerate(files):
        header = first if at == 0 else read_header(path, keywords=(*KEPT, *PLANES))
        headers.append(lean_header(header))
        planes += _planes(header, path.name)
    if len(files) > 1 and len(planes) != len(files):
        raise OutputError(f"A multi-frame series must be a single file, got {len(files)} files. Write it as NIfTI.")
    slices = np.array([_slice_of(plane, grid) for plane in planes])
    _check_slices(slices, grid, is_single_file=len(files) == 1, is_repaired=is_repaired)
    usual = planes[int(np.flatnonzero(slices >= 0)[0])]
    usual["thickness"] = usual["thickness"] if usual["thickness"] > 0 else grid.spacing_mm[2]
    _set_reference(headers)
    if "PerFrameFunctionalGroupsSequence" in first:
        _set_frames(headers[0], planes, usual)
    else:
        for header, plane in zip(headers, planes, strict=True):
            _set_plane(header, plane, usual)
    return SourceFrames(full=first, headers=tuple(headers), slices=slices)


def _planes(header: Dataset, name: str) -> list[dict[str, Any]]:
    """Position, orientation, size and thickness of each frame (PS3.3 C.7.6.2, for multi-frame C.7.6.16.2)."""
    try:
        with quiet():
            if "PerFrameFunctionalGroupsSequence" not in header:
                return [_plane(header, header, header, header)]
            shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
            planes = []
            for frame in header.PerFrameFunctionalGroupsSequence:
                groups = [
                    (frame.get(keyword) or shared.get(keyword))[0]
                    for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
                ]
                planes.append(_plane(header, *groups))
            return planes
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"`{name}` must say where its frames lie, but does not ({type(error).__name__}). Write the result as NIfTI."
        ) from error


def _plane(header: Dataset, position: Dataset, orientation: Dataset, measures: Dataset) -> dict[str, Any]:
    return {
        "position": [float(value) for value in position.ImagePositionPatient],
        "position_text": position["ImagePositionPatient"].value,
        "orientation_text": orientation["ImageOrientationPatient"].value,
        "orientation": np.array([float(value) for value in orientation.ImageOrientationPatient]),
        "shape": (int(header.Columns), int(header.Rows)),
        "pixel_spacing_text": measures["PixelSpacing"].value,
        "thickness": float(measures.get("SliceThickness") or 0),
    }


def _slice_of(plane: dict[str, Any], grid: VoxelGrid) -> int:
    """Index of the slice, -1 if the frame is none of the grid's."""
    affine = lps_from_ras(grid.affine)
    directions = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    deviation = np.abs(directions.T.ravel() - plane["orientation"]).max()
    if plane["shape"] != grid.shape[:2] or deviation > MAX_COSINE_DEVIATION:
        return -1
    column, row, index = np.linalg.solve(affine[:3, :3], plane["position"] - affine[:3, 3])
    nearest = round(float(index))
    is_there = max(abs(column), abs(row)) <= MAX_OFFSET_PX and abs(index - nearest) <= MAX_OFFSET_SLICES
    return nearest if is_there and 0 <= nearest < grid.shape[2] else -1


def _check_slices(slices: np.ndarray, grid: VoxelGrid, *, is_single_file: bool, is_repaired: bool) -> None:
    placed = slices[slices >= 0]
    is_complete = len(placed) == len(slices) or (is_single_file and len(np.unique(placed)) == grid.shape[2])
    if not is_complete:
        cause = (
            "it was resampled, for example to remove a gantry tilt"
            if is_repaired
            else "the files are those of another volume"
        )
        raise OutputError(
            f"The label's slices must be the series' frames, but {len(slices) - len(placed)} of {len(slices)} frames "
            f"lie elsewhere: {cause}. Write the result as NIfTI."
        )
    if len(np.unique(placed)) != len(placed):
        raise OutputError(
            "Each slice must be one frame, but several frames lie in one place (phases or echoes). "
            "Write the result as NIfTI."
        )


def _set_reference(headers: Sequence[Dataset]) -> None:
    """Give all headers one study, the first's, as some anonymizers make one up per file, and one frame of reference.

    A frame of reference that an anonymizer removed is made up.
    """
    invented = derived_uid("frame of reference", str(headers[0].SeriesInstanceUID))
    for header in headers:
        header.FrameOfReferenceUID = headers[0].get("FrameOfReferenceUID") or invented
        header.StudyInstanceUID, header.SeriesInstanceUID = headers[0].StudyInstanceUID, headers[0].SeriesInstanceUID


def _set_plane(target: Dataset, plane: dict[str, Any], usual: dict[str, Any]) -> None:
    """Set what highdicom reads: the frame's own position; orientation and spacing of all, which rounding may differ."""
    target.ImagePositionPatient = plane["position_text"]
    target.ImageOrientationPatient = usual["orientation_text"]
    target.PixelSpacing, target.SliceThickness = usual["pixel_spacing_text"], usual["thickness"]


def _set_frames(header: Dataset, planes: Sequence[dict[str, Any]], usual: dict[str, Any]) -> None:
    """Do the same for a multi-frame header, whose scanner may write everything per frame or not."""
    from pydicom import Dataset  # noqa: PLC0415  (see read_header)

    shared, orientation, measures, frames = Dataset(), Dataset(), Dataset(), []
    orientation.ImageOrientationPatient = usual["orientation_text"]
    measures.PixelSpacing, measures.SliceThickness = usual["pixel_spacing_text"], usual["thickness"]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    for plane in planes:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = plane["position_text"]
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    header.NumberOfFrames = len(planes)
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], frames
