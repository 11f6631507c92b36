# SPDX-License-Identifier: Apache-2.0
"""The images that a result refers to: their headers, without the patient, and which slice each frame is.

What lies where was judged when the series was read; here it is only put into words.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan.errors import InputError, OutputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.dicom.file import REFERENCE_TAGS, open_dicom
from monai_semigan.io.dicom.values import MALFORMED, ElementValues, quiet_dicom
from monai_semigan.io.volume import DicomOrigin
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import TYPE_2, derived_uid

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "SourceFrames",
    "laterality",
    "lean_header",
    "lean_headers",
    "place_frames",
    "place_image",
    "refer_without_plane",
    "source_header",
]

REQUIRED = REFERENCE_TAGS[:6]
"""Without one of these nothing can refer to an image."""


@dataclass(frozen=True, kw_only=True)
class SourceFrames:
    """A series as highdicom wants it: lean headers whose frames lie in one stack.

    Attributes:
        fulls: The files' headers as they were read.
        headers: One per file; a single one if it is multi-frame.
        slices: For each frame its slice along the volume's last axis; None: in none.
    """

    fulls: tuple[Dataset, ...]
    headers: tuple[Dataset, ...]
    slices: tuple[int | None, ...]

    @property
    def full(self) -> Dataset:
        """The first file's whole header, for `complete`."""
        return self.fulls[0]

    @property
    def has_planes(self) -> bool:
        """Whether the frames lie somewhere in the patient."""
        header = self.headers[0]
        return "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header

    @property
    def laterality(self) -> str:
        """The side of the body as the source states it, ``L`` or ``R``; else empty."""
        return laterality(self.full)

    @property
    def uids(self) -> list[str]:
        """SOPInstanceUIDs, sorted."""
        return sorted(str(header.SOPInstanceUID) for header in self.headers)

    def frames(self, values: np.ndarray) -> np.ndarray:
        """Bring values of a volume, ``(I, J, K)``, or of an image, ``(H, W)``, into the order of the frames.

        Returns:
            ``(N, rows, columns)``; zero for frames outside the volume.
        """
        if values.ndim == 2:
            return values[None]
        frames = np.zeros((len(self.slices), values.shape[1], values.shape[0]), dtype=values.dtype)
        for at, index in enumerate(self.slices):
            if index is not None:
                frames[at] = values[:, :, index].T
        return frames


def source_header(source: PathLike | Dataset, name: str = "") -> Dataset:
    """Return the header of an image that a result shall refer to.

    Args:
        source: The header as it was read, or a file.
        name: Of the file, for errors about a header.

    Raises:
        InputError: The file is gone, damaged or no DICOM; or the header lacks what names an image.
    """
    if isinstance(source, (str, os.PathLike)):
        name = Path(source).name
        file = open_dicom(Path(source))
        if file is None:
            raise InputError(f"`{name}` must be a DICOM file for a DICOM result to refer to it.")
        source = file.header
    values = ElementValues(source)
    missing = [keyword for keyword in REQUIRED if not values.text(keyword)]
    if missing:
        raise InputError(
            f"`{name or 'the source'}` must have {', '.join(missing)}: without, no DICOM result can refer to it."
        )
    return source


def lean_header(header: Dataset) -> Dataset:
    """Copy what a result needs to refer to an image, the patient's and the study's tags empty.

    Raises:
        InputError: What must be there is malformed.
    """
    from pydicom import Dataset  # noqa: PLC0415  (as all DICOM libraries here: only who writes DICOM pays for the import)

    lean, values = Dataset(), ElementValues(header)
    with quiet_dicom():
        for keyword in REFERENCE_TAGS:
            with contextlib.suppress(*MALFORMED):  # absent or damaged: left out
                setattr(lean, keyword, header[keyword].value)
        for keyword in TYPE_2:
            setattr(lean, keyword, None)
        lean.Modality = values.text("Modality") or "OT"
        lean.SamplesPerPixel = values.integer("SamplesPerPixel") or 1
    malformed = [keyword for keyword in REQUIRED if keyword not in lean]
    if malformed:
        raise InputError(f"{', '.join(malformed)} must be well-formed for a DICOM result to refer to it.")
    return lean


def lean_headers(headers: Sequence[Dataset]) -> list[Dataset]:
    """Copy what a result needs to refer to the images of a series: one study, one frame of reference.

    Raises:
        InputError: What must be there is absent or malformed.
    """
    lean = [lean_header(source_header(header)) for header in headers]
    with quiet_dicom():
        _set_reference(lean)
    return lean


def place_image(source: PathLike | Dataset) -> SourceFrames:
    """Describe a single image: with its plane in the patient if it has one, without a frame of reference if not.

    Args:
        source: The image's header as it was read, or its file.

    Raises:
        InputError: The source is damaged or gone, or lacks what names an image.
        OutputError: It has several frames.
    """
    full = source_header(source)
    values = ElementValues(full)
    if (values.integer("NumberOfFrames") or 1) != 1 or values.has("PerFrameFunctionalGroupsSequence"):
        raise OutputError("The source must hold a single image for a two-dimensional result. Read it as a volume.")
    header = lean_header(full)
    with quiet_dicom():
        if _has_plane(full):
            for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
                setattr(header, keyword, full[keyword].value)
            header.SliceThickness = ElementValues(full).number("SliceThickness") or 1
        elif "FrameOfReferenceUID" in header:
            del header.FrameOfReferenceUID
    return SourceFrames(fulls=(full,), headers=(header,), slices=(0,))


def laterality(full: Dataset) -> str:
    """Return the side of the body as a header states it, ``L`` or ``R``; else empty."""
    sides = ElementValues(full).words("Laterality")
    return sides[0] if sides in (("L",), ("R",)) else ""


def _has_plane(full: Dataset) -> bool:
    """Whether an image says where it lies in the patient."""
    values = ElementValues(full)
    counts = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    return bool(values.text("FrameOfReferenceUID")) and None not in [values.numbers(*item) for item in counts.items()]


def refer_without_plane(result: Dataset, full: Dataset) -> None:
    """Add what an image without a plane still says about itself (General Image, PS3.3 C.7.6.1: type 2C then)."""
    if _has_plane(full):
        return
    orientation = ElementValues(full).words("PatientOrientation")
    result.PatientOrientation = list(orientation) if len(orientation) == 2 else None
    if full.get("FrameOfReferenceUID"):
        result.FrameOfReferenceUID, result.PositionReferenceIndicator = full.FrameOfReferenceUID, None


def place_frames(origin: DicomOrigin, grid: VoxelGrid) -> SourceFrames:
    """Describe the frames of a series as they lie in the volume that was read from it.

    All get the volume's own axes, as cosines in headers are rounded; each keeps its own position.

    Args:
        origin: Of the volume.
        grid: Of the volume: columns, rows, slices.

    Raises:
        InputError: A header lacks what names an image.
        OutputError: The volume's slices are not the frames, as it was resampled.
    """
    if origin.is_resampled:
        raise OutputError(
            "The label's slices must be the series' frames, but the volume was resampled to remove a gantry tilt. "
            "Write the result as NIfTI."
        )
    full = [source_header(header, path.name) for header, path in zip(origin.headers, origin.files, strict=True)]
    headers = [lean_header(header) for header in full]
    with quiet_dicom():
        _set_reference(headers)
        try:
            shared = _shared_plane(full[0], grid)
            if len(full) == 1 and "PerFrameFunctionalGroupsSequence" in full[0]:
                _set_frames(headers[0], full[0].PerFrameFunctionalGroupsSequence, shared)
            else:
                for header, source in zip(headers, full, strict=True):
                    header.update(shared)
                    header.ImagePositionPatient = source["ImagePositionPatient"].value
        except MALFORMED as error:
            raise OutputError(
                f"`{origin.files[0].name}` must say where its frames lie, but does not ({type(error).__name__}). "
                "Write the result as NIfTI."
            ) from None
    return SourceFrames(fulls=tuple(full), headers=tuple(headers), slices=origin.slices)


def _shared_plane(full: Dataset, grid: VoxelGrid) -> Dataset:
    """What is the same for all frames: axes, spacing and thickness."""
    from pydicom import Dataset  # noqa: PLC0415  (see lean_header)
    from pydicom.valuerep import format_number_as_ds  # noqa: PLC0415  (see lean_header)

    plane = Dataset()
    axes = np.diag([-1.0, -1.0, 1.0]) @ grid.directions[:, :2] + 0.0  # LPS+, no negative zeros
    column_mm, row_mm, slice_mm = grid.spacing_mm
    plane.ImageOrientationPatient = [format_number_as_ds(float(cosine)) for cosine in axes.T.ravel()]
    plane.PixelSpacing = [format_number_as_ds(row_mm), format_number_as_ds(column_mm)]
    measures = [group[0] for name in ("Shared", "PerFrame") for group in _measures(full, name)]
    thickness = ElementValues(full, *measures).number("SliceThickness")
    plane.SliceThickness = format_number_as_ds(thickness if thickness is not None and thickness > 0 else slice_mm)
    return plane


def _measures(full: Dataset, name: str) -> list[Any]:
    """Pixel measures of a multi-frame header, which its scanner may write once or per frame."""
    items = ElementValues(full).sequence(f"{name}FunctionalGroupsSequence")[:1]
    found = [ElementValues(item).sequence("PixelMeasuresSequence") for item in items]
    return [measures for measures in found if measures]


def _set_reference(headers: Sequence[Dataset]) -> None:
    """Give all headers one study, the first's, as some anonymizers make one up per file, and one frame of reference.

    A frame of reference that an anonymizer removed is made up.
    """
    invented = derived_uid("frame of reference", str(headers[0].SeriesInstanceUID))
    for header in headers:
        header.FrameOfReferenceUID = headers[0].get("FrameOfReferenceUID") or invented
        header.StudyInstanceUID, header.SeriesInstanceUID = headers[0].StudyInstanceUID, headers[0].SeriesInstanceUID


def _set_frames(header: Dataset, sources: Sequence[Dataset], plane: Dataset) -> None:
    """Set the planes of a multi-frame header."""
    from pydicom import Dataset  # noqa: PLC0415  (see lean_header)

    shared, orientation, measures, frames = Dataset(), Dataset(), Dataset(), []
    orientation.ImageOrientationPatient = plane.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = plane.PixelSpacing, plane.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    for source in sources:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = source.PlanePositionSequence[0]["ImagePositionPatient"].value
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    header.NumberOfFrames = len(frames)
    header.SharedFunctionalGroupsSequence, header.PerFrameFunctionalGroupsSequence = [shared], frames
