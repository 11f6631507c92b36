# SPDX-License-Identifier: Apache-2.0
"""The DICOM objects of a case: what each writer needs of a segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan import __version__
from monai_semigan.errors import InputError
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import DicomOrigin
from monai_semigan.pictures.caption import captioned
from monai_semigan.segmentation.measurements import case_findings
from monai_semigan.segmentation.record import volume_text
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.writers.dicom_contours import write_dicom_contours
from monai_semigan.writers.dicom_map import write_dicom_map
from monai_semigan.writers.dicom_options import DicomOptions
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_result import SERIES_DESCRIPTION, AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg, write_dicom_seg_2d
from monai_semigan.writers.dicom_source import SourceFrames, place_frames, place_image
from monai_semigan.writers.dicom_sr import write_dicom_sr
from monai_semigan.writers.terminology import SegmentInfo, known_segment

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "SEG_FILE",
    "is_from_dicom",
    "write_contours",
    "write_map",
    "write_preview",
    "write_seg",
    "write_sr",
]

SEG_FILE = "seg.dcm"

MAX_VERSION_LENGTH = 64
"""A DICOM long string (LO, PS3.5 6.2)."""

SETTINGS = ("inversion", "modality")
"""What of a case's request changes its label, and thus its identifiers."""

SHOWN_PERCENTILES = (0.5, 99.5)
"""Values of an image without a window that outlines are shown on as black and white."""

GREY = (128, 128, 128)


def is_from_dicom(result: Segmentation) -> bool:
    """Whether DICOM objects can refer to the source of a case."""
    data = result.source.data
    return data.is_dicom if isinstance(data, SourceImage) else isinstance(data.origin, DicomOrigin)


def write_seg(path: Path, result: Segmentation, options: DicomOptions) -> None:
    """Write the label as DICOM SEG, none for an empty one unless the options say so.

    Raises:
        InputError: The source is unlike the bundle's images, and the options skip such.
    """
    if result.is_unlike and options.of_unlike == "skip":
        raise InputError("The source is unlike the images this bundle was made for. With --unlike-seg write it is.")
    data = result.source.data
    settings: dict[str, Any] = {
        "segments": result.model.segments,
        "algorithm": _algorithm(result),
        "kind": options.kind,
        "terminology": options.terminology,
        "empty": options.empty,
    }
    if isinstance(data, SourceImage):
        write_dicom_seg_2d(path, label=result.label, source=data.header, **settings)
    else:
        write_dicom_seg(path, label=result.label, volume=data, **settings)


def write_sr(path: Path, result: Segmentation, options: DicomOptions) -> None:
    """Write the measurements, of the segments of the DICOM SEG that lies beside, if there is one."""
    seg = path.with_name(SEG_FILE)
    write_dicom_sr(
        path,
        case_findings(result.record, result.model.segments),
        _headers(result),
        algorithm=_algorithm(result),
        seg=seg if seg.exists() else None,
        terminology=options.terminology,
    )


def write_map(path: Path, result: Segmentation, _: DicomOptions) -> None:
    """Write the probability of the class; of a bundle with several that of any of them."""
    assert result.probability is not None
    write_dicom_map(
        path,
        result.probability,
        _place(result),
        segment=_any_class(result.model.segments),
        algorithm=_algorithm(result),
    )


def write_contours(path: Path, result: Segmentation, _: DicomOptions) -> None:
    """Write the outlines of the label over the source, none for an empty one."""
    data, window = result.source.data, result.window
    if isinstance(data, SourceImage) and data.pixels.ndim == 2:
        low, high = np.percentile(data.pixels, SHOWN_PERCENTILES)
        window = float(low), float(high)
    write_dicom_contours(
        path,
        result.label,
        _place(result),
        segments=result.model.segments,
        algorithm=_algorithm(result),
        window=window,
    )


def write_preview(path: Path, result: Segmentation, _: DicomOptions) -> None:
    """Write the picture of the case as Secondary Capture, with what there is to know of it in words below."""
    picture = np.asarray(captioned(result.picture, _caption(result)))
    write_dicom_preview(path, picture=picture, source=_headers(result)[0], algorithm=_algorithm(result))


def _caption(result: Segmentation) -> list[str]:
    record = result.record
    lines = [f"{SERIES_DESCRIPTION} ({record.bundle.name} {record.bundle.version})"]
    for part in record.classes:
        amount = f"{part.share:.1%} of the image"
        if part.volume_ml is not None:
            amount = f"{volume_text(part.volume_ml)} mL"
        elif part.area_mm2 is not None:
            amount = f"{part.area_mm2 / 100:.1f} cm\u00b2"
        trust = "" if part.expected_dice is None else f", expected Dice {part.expected_dice:.3f}"
        lines.append(f"{part.name}: {amount}{trust}")
    return [*lines, *record.warnings]


def _algorithm(result: Segmentation) -> AlgorithmInfo:
    bundle, request = result.record.bundle, result.record.request
    version = f"{bundle.version} ({__version__})"[:MAX_VERSION_LENGTH]
    settings = {key: request[key] for key in SETTINGS if key in request}
    return AlgorithmInfo(name=bundle.name, version=version, digest=bundle.digest, settings=settings)


def _headers(result: Segmentation) -> tuple[Dataset, ...]:
    data = result.source.data
    if isinstance(data, SourceImage):
        return (data.header,)
    assert isinstance(data.origin, DicomOrigin)
    return data.origin.headers


def _place(result: Segmentation) -> SourceFrames:
    data = result.source.data
    if isinstance(data, SourceImage):
        return place_image(data.header)
    assert isinstance(data.origin, DicomOrigin)
    return place_frames(data.origin, data.grid)


def _any_class(segments: tuple[SegmentInfo, ...]) -> SegmentInfo:
    return segments[0] if len(segments) == 1 else known_segment("any class", GREY)
