# SPDX-License-Identifier: Apache-2.0
"""DICOM headers without pixels: find the files, and read of each frame what places it in a volume."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.file import DicomFile, open_dicom
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.io.limits import MAX_SLICES
from monai_semigan.types import Progress

__all__ = ["FrameHeader", "find_frames", "frames_of"]

logger = logging.getLogger(__name__)

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of DICOMDIR files."""

MACROS = ("PlanePosition", "PlaneOrientation", "PixelMeasures", "PixelValueTransformation", "MREcho")
"""Functional groups that place a frame or scale its values (PS3.3 C.7.6.16.2)."""

MODALITIES = frozenset({
    "AR", "BI", "BMD", "CFM", "CR", "CT", "DG", "DMS", "DX", "ECG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO",
    "IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPV", "OSS",
    "OT", "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD",
    "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TG", "US", "VA", "XA", "XC",
})  # fmt: skip
"""Defined terms of Modality (PS3.3 C.7.3.1.1.1): any other text may be anything, also a name."""

UNITS = frozenset({"HU", "US", "OD", "HU_MOD", "MGML", "Z_EFF", "ED", "EDW", "PCT"})
"""Defined terms of RescaleType (PS3.3 C.11.1.1.2) that are not counted as unspecified."""

MIN_FRAME_BYTES = 8
"""Of a compressed frame: the head of its item (PS3.5, A.4)."""


@dataclass(frozen=True, kw_only=True)
class FrameHeader:
    """What one frame's header says; None where it says nothing usable.

    Attributes:
        file: Its file.
        frame: Number of the frame in a multi-frame file, from 1; None in a single-frame file.
        orientation: Cosines of the row and of the column, 6 numbers (0020,0037).
        position_mm: Centre of the first voxel, LPS+ (0020,0032).
        pixel_spacing_mm: Between rows, between columns (0028,0030).
        rescale: Slope and intercept; None if there are neither.
        is_rescale_incomplete: One of them is empty or no number; 1 or 0 stands for it.
        rescale_type: Unit of the rescaled values, such as ``HU``; ``other`` for a text that is none.
        fault: Why no pixels can be read, worded to follow the file's name; None if nothing speaks against it.
        malformed: Keywords of elements that hold nothing usable.
    """

    file: DicomFile
    frame: int | None
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    series_number: int | None
    instance_number: int | None
    modality: str | None
    description: str
    body_part: str
    image_type: tuple[str, ...]
    frame_of_reference_uid: str | None
    rows: int
    columns: int
    samples: int
    orientation: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    pixel_spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    slice_spacing_mm: float | None
    rescale: tuple[float, float] | None
    is_rescale_incomplete: bool
    rescale_type: str | None
    has_modality_lut: bool
    echo_time_ms: float | None
    is_lossy: bool
    fault: str | None
    malformed: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it was read from."""
        return self.file.path

    @property
    def number(self) -> str:
        """How a person finds the slice: its frame or instance number, else its file."""
        if self.frame is not None:
            return f"frame {self.frame}"
        return self.path.name if self.instance_number is None else str(self.instance_number)


def find_frames(files: Iterable[Path], *, room: int = 0, progress: Progress | None = None) -> list[FrameHeader]:
    """Read the headers of all images among ``files``; files that are no DICOM, and lists of files, are passed over.

    Args:
        files: Any files.
        room: Bytes of all files together that may be held in memory, so that they need not be opened again.
        progress: Called after each file.
    """
    files = list(files)
    frames: list[FrameHeader] = []
    for done, path in enumerate(files, start=1):
        try:
            file = open_dicom(path, room=room)
        except InputError as error:
            logger.warning("%s It was passed over.", error)
        else:
            found = [] if file is None else frames_of(file)
            if file is not None and found:
                room -= file.held_bytes
            frames += found
        if progress is not None:
            progress(done, len(files))
    return frames


def frames_of(file: DicomFile) -> list[FrameHeader]:
    """Read a file's header: a single `FrameHeader`, or one per frame; none if it holds no image.

    Of a file with more frames than bytes for them there is one, which says so in its ``fault``.
    """
    values = ElementValues(file.header)
    sop_class = values.text("SOPClassUID") or ElementValues(file.header.file_meta).text("MediaStorageSOPClassUID")
    rows, columns = values.integer("Rows"), values.integer("Columns")
    if sop_class == MEDIA_DIRECTORY or not rows or not columns or min(rows, columns) < 1:
        return []
    samples = values.integer("SamplesPerPixel") or 1
    common: dict[str, Any] = {
        "file": file,
        "sop_class_uid": sop_class,
        "instance_uid": values.text("SOPInstanceUID"),
        "series_uid": values.text("SeriesInstanceUID"),
        "series_number": values.integer("SeriesNumber"),
        "instance_number": values.integer("InstanceNumber"),
        "modality": _modality(values),
        "description": values.text("SeriesDescription"),
        "body_part": values.text("BodyPartExamined"),
        "image_type": values.words("ImageType"),
        "frame_of_reference_uid": values.text("FrameOfReferenceUID") or None,
        "rows": rows,
        "columns": columns,
        "samples": samples,
        "has_modality_lut": bool(values.sequence("ModalityLUTSequence")),
        "is_lossy": values.text("LossyImageCompression") == "01",
    }
    per_frame = values.sequence("PerFrameFunctionalGroupsSequence")
    declared = values.integer("NumberOfFrames")
    num_frames = declared if declared is not None and declared > 0 else len(per_frame) or 1
    if not per_frame and num_frames == 1:
        return [_frame(common, values, frame=None, fault=None)]
    fault = _fault_of_frames(file, num_frames, rows * columns * samples, values.integer("BitsAllocated"))
    if fault:
        return [_frame(common, values, frame=1, fault=fault)]
    shared = _macros(values.sequence("SharedFunctionalGroupsSequence"))
    items = list(per_frame) if len(per_frame) == num_frames else [None] * num_frames
    found = []
    for number, item in enumerate(items, start=1):
        own = ElementValues(*_macros([] if item is None else [item]), *shared)
        own.malformed |= values.malformed
        found.append(_frame(common, own, frame=number, fault=None))
    return found


def _fault_of_frames(file: DicomFile, num_frames: int, samples: int, bits: int | None) -> str | None:
    """Compare the number of frames with the bytes of the file before anything is made of that length."""
    syntax = file.header.file_meta.TransferSyntaxUID
    is_native = syntax.is_transfer_syntax and not syntax.is_compressed and not syntax.is_deflated
    each = samples * (bits or 1) // 8 if is_native else MIN_FRAME_BYTES
    if num_frames * each > file.size and not (syntax.is_transfer_syntax and syntax.is_deflated):
        return f"must have the pixels of all its frames, but {num_frames:,} are declared, more than its bytes hold"
    if num_frames > MAX_SLICES:
        return f"must have at most {MAX_SLICES:,} frames, got {num_frames:,}"
    return None


def _macros(groups: Any) -> list[Any]:
    """First items of the functional group macros in the first of ``groups``."""
    found = ElementValues(*groups[:1])
    items = [found.sequence(f"{name}Sequence") for name in MACROS]
    return [item[0] for item in items if item]


def _frame(common: dict[str, Any], values: ElementValues, *, frame: int | None, fault: str | None) -> FrameHeader:
    slope, intercept = values.number("RescaleSlope"), values.number("RescaleIntercept")
    has_rescale = values.has("RescaleSlope") or values.has("RescaleIntercept")
    unit = values.text("RescaleType").strip()
    found: dict[str, Any] = {
        "orientation": values.numbers("ImageOrientationPatient", 6),
        "position_mm": values.numbers("ImagePositionPatient", 3),
        "pixel_spacing_mm": values.numbers("PixelSpacing", 2),
        "thickness_mm": values.number("SliceThickness"),
        "slice_spacing_mm": values.number("SpacingBetweenSlices"),
        "echo_time_ms": values.number("EchoTime" if frame is None else "EffectiveEchoTime"),
        "rescale_type": None if not unit else unit if unit in UNITS else "other",
    }
    return FrameHeader(
        **common,
        **found,
        frame=frame,
        rescale=(1.0 if slope is None else slope, 0.0 if intercept is None else intercept) if has_rescale else None,
        is_rescale_incomplete=has_rescale and (slope is None or intercept is None),
        fault=fault,
        malformed=tuple(values.malformed),
    )


def _modality(values: ElementValues) -> str | None:
    words = values.words("Modality")
    if words and words[0] not in MODALITIES:
        values.malformed["Modality"] = None
    return words[0] if words and words[0] in MODALITIES else None
