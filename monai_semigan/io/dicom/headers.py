# SPDX-License-Identifier: Apache-2.0
"""DICOM headers without pixels: find the files, and read of each frame what places it in a volume."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_semigan.types import Progress

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["FrameHeader", "find_frames", "is_dicom", "quiet_pydicom", "read_frames"]

logger = logging.getLogger(__name__)

PREAMBLE = 128
"""Bytes before the letters DICM (PS3.10, section 7.1)."""

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of DICOMDIR files."""

TAGS = [
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "Modality",
    "SeriesDescription", "ImageType", "FrameOfReferenceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "EchoTime", "LossyImageCompression",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FrameHeader:
    """What one frame's header says; None where it says nothing (usable).

    Attributes:
        path: File.
        frame: Number of the frame in a multi-frame file, from 1; None in a single-frame file.
        orientation: Cosines of the row and of the column, 6 numbers (0020,0037).
        position_mm: Centre of the first voxel, LPS+ (0020,0032).
        pixel_spacing_mm: Between rows, between columns (0028,0030).
        rescale: Slope and intercept.
        rescale_type: Unit of the rescaled values, such as ``HU``.
    """

    path: Path
    frame: int | None
    sop_class_uid: str
    instance_uid: str
    series_uid: str
    series_number: int | None
    instance_number: int | None
    modality: str | None
    description: str
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
    rescale_type: str | None
    has_modality_lut: bool
    echo_time_ms: float | None
    is_lossy: bool

    @property
    def number(self) -> str:
        """How a person finds the slice: its frame or instance number, else its file."""
        if self.frame is not None:
            return f"frame {self.frame}"
        return self.path.name if self.instance_number is None else str(self.instance_number)


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on odd values to itself: they quote the values, which may be the patient's."""
    pydicom_logger = logging.getLogger("pydicom")
    was_disabled = pydicom_logger.disabled
    pydicom_logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        pydicom_logger.disabled = was_disabled


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark, whatever its name; not DICOMDIR, which only lists others."""
    if path.name.upper() == "DICOMDIR":
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(PREAMBLE)
            return stream.read(4) == b"DICM"
    except OSError:
        return False


def find_frames(files: Iterable[Path], *, progress: Progress | None = None) -> list[FrameHeader]:
    """Read the headers of all images among ``files``; files that are no DICOM, and lists of files, are passed over."""
    files = list(files)
    frames: list[FrameHeader] = []
    for done, path in enumerate(files, start=1):
        if is_dicom(path):
            frames += read_frames(path)
        if progress is not None:
            progress(done, len(files))
    return frames


def read_frames(path: Path) -> list[FrameHeader]:
    """Read one file's header: a single `FrameHeader`, or one per frame; none if it holds no image or is damaged."""
    import pydicom  # noqa: PLC0415  (0.3 s to import)

    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS))
            return _frames_of(path, dataset)
        except Exception as error:  # a damaged header makes pydicom raise what it likes
            logger.warning("`%s` was passed over: its DICOM header is damaged (%s).", path.name, type(error).__name__)
            return []


def _frames_of(path: Path, dataset: Dataset) -> list[FrameHeader]:
    sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    if sop_class == MEDIA_DIRECTORY or not dataset.get("Rows") or not dataset.get("Columns"):
        return []
    num_frames = _integer(dataset.get("NumberOfFrames")) or 1
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if not per_frame and num_frames == 1:
        return [_frame(path, dataset, sop_class, frame=None, groups=[dataset])]
    items = list(per_frame) if len(per_frame) == num_frames else [None] * num_frames
    return [
        _frame(path, dataset, sop_class, frame=number, groups=[*_macros(item), *_macros(shared)])
        for number, item in enumerate(items, start=1)
    ]


def _macros(item: Dataset | None) -> list[Any]:
    """First items of the functional group macros that place a frame or scale its values (PS3.3 C.7.6.16.2)."""
    names = ("PlanePosition", "PlaneOrientation", "PixelMeasures", "PixelValueTransformation", "MREcho")
    found = [] if item is None else [_first(item.get(f"{name}Sequence")) for name in names]
    return [macro for macro in found if macro is not None]


def _frame(path: Path, dataset: Dataset, sop_class: str, *, frame: int | None, groups: list[Any]) -> FrameHeader:
    def value(keyword: str) -> Any:
        found = (group.get(keyword) for group in groups)
        return next((entry for entry in found if entry is not None), None)

    slope, intercept = _number(value("RescaleSlope")), _number(value("RescaleIntercept"))
    echo = _number(value("EchoTime") if frame is None else value("EffectiveEchoTime"))
    return FrameHeader(
        path=path,
        frame=frame,
        sop_class_uid=sop_class,
        instance_uid=str(dataset.get("SOPInstanceUID", "")),
        series_uid=str(dataset.get("SeriesInstanceUID") or ""),
        series_number=_integer(dataset.get("SeriesNumber")),
        instance_number=_integer(dataset.get("InstanceNumber")),
        modality=str(dataset.get("Modality") or "") or None,
        description=str(dataset.get("SeriesDescription") or ""),
        image_type=_words(dataset.get("ImageType")),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID") or "") or None,
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        samples=_integer(dataset.get("SamplesPerPixel")) or 1,
        orientation=_numbers(value("ImageOrientationPatient"), 6),
        position_mm=_numbers(value("ImagePositionPatient"), 3),
        pixel_spacing_mm=_numbers(value("PixelSpacing"), 2),
        thickness_mm=_number(value("SliceThickness")),
        slice_spacing_mm=_number(value("SpacingBetweenSlices")),
        rescale=None if slope is None or intercept is None else (slope, intercept),
        rescale_type=str(value("RescaleType") or "") or None,
        has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
        echo_time_ms=echo,
        is_lossy=str(dataset.get("LossyImageCompression", "")) == "01",
    )


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _words(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    return tuple(str(word).strip().upper() for word in ([value] if isinstance(value, str) else value))


def _number(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or not math.isfinite(number) else int(number)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, (str, Mapping)):
        return None
    numbers = tuple(_number(entry) for entry in value)
    return None if len(numbers) != count or None in numbers else numbers  # type: ignore[return-value]
