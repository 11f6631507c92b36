# SPDX-License-Identifier: Apache-2.0
"""Write the outlines of a label map as a DICOM Presentation State (PS3.3 A.33), for viewers that show no DICOM SEG.

The viewer draws them over the source image itself. How the image is shown otherwise, values to grey, is repeated from
its header, as a presentation state replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan.errors import OutputError
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.types import PathLike
from monai_semigan.writers.contours import outlines
from monai_semigan.writers.dicom_result import (
    SERIES_DESCRIPTION,
    AlgorithmInfo,
    complete,
    derived_uid,
    instance_number,
    making,
    save,
    series_number,
)
from monai_semigan.writers.dicom_source import SourceFrames
from monai_semigan.writers.display import displayed_area, is_inverted, modality_values, windows
from monai_semigan.writers.terminology import SegmentInfo

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["MAX_OUTLINES", "MAX_POINTS", "write_dicom_contours"]

SERIES_OFFSET = 5000
"""Added to the source's SeriesNumber."""

MAX_POINTS = 1000
"""Of one outline: viewers stay quick, and an element of 64 KiB (PS3.5 7.1.2) holds eight times as many."""

MAX_OUTLINES = 100
"""Of one class in one frame, the longest."""


def write_dicom_contours(
    path: PathLike,
    label: np.ndarray,
    source: SourceFrames,
    *,
    segments: Sequence[SegmentInfo],
    algorithm: AlgorithmInfo,
    window: tuple[float, float] | None = None,
) -> Path | None:
    """Write the outlines of each class, in its color and in a layer of its own.

    Images of grey values get a Grayscale Softcopy Presentation State, others a Color one.

    Args:
        path: The file to write; an existing one is replaced.
        label: Class ids on the volume's grid, ``(I, J, K)``, or the image's, ``(H, W)``; 0 is background.
        source: Where the source's frames lie.
        segments: Classes 1, 2, ... in order.
        algorithm: What made the label.
        window: Values to show black and white, where the source states no window of its own.

    Returns:
        The file; None for an empty label.

    Raises:
        OutputError: The label does not fit the source, its files are rescaled differently, or the file cannot be
            written.
    """
    path = Path(path)
    frames = source.frames(label)
    shape = len(source.slices), int(source.full.Rows), int(source.full.Columns)
    if frames.shape != shape:
        raise OutputError(f"`label` must have the source's {shape} frames, rows and columns, got {frames.shape}.")
    drawn = list(_drawn(frames, len(segments)))
    if not drawn:
        return None
    with making(path.name):
        result = _make(drawn, source, segments, algorithm, window)
    return save(result, path)


@dataclass(frozen=True)
class _Drawn:
    """The outlines of a class in a frame, both counted from 0."""

    frame: int
    segment: int
    polygons: list[np.ndarray]


def _drawn(frames: np.ndarray, num_segments: int) -> Iterator[_Drawn]:
    for at, frame in enumerate(frames):
        for segment in range(num_segments):
            polygons = outlines(frame == segment + 1, max_points=MAX_POINTS, max_outlines=MAX_OUTLINES)
            if polygons:
                yield _Drawn(at, segment, polygons)


def _make(
    drawn: Sequence[_Drawn],
    source: SourceFrames,
    segments: Sequence[SegmentInfo],
    algorithm: AlgorithmInfo,
    window: tuple[float, float] | None,
) -> Dataset:
    """Build the object, patient and study included."""
    import highdicom as hd  # noqa: PLC0415  (0.6 s to import)

    full, headers = source.full, source.headers
    is_grey = (ElementValues(full).integer("SamplesPerPixel") or 1) == 1
    seed = ["contours", source.uids, algorithm.digest, algorithm.settings, [[at.name, at.color] for at in segments]]
    series_seed = [seed[0], str(full.SeriesInstanceUID), *seed[2:]]
    layers = [
        hd.pr.GraphicLayer(
            layer_name=f"CLASS {number}",
            order=number,
            description=f"{item.name}: {SERIES_DESCRIPTION}"[:64],
            display_color=hd.color.CIELabColor.from_rgb(*item.color),
        )
        for number, item in enumerate(segments, start=1)
    ]
    common: dict[str, Any] = {
        "referenced_images": headers,
        "series_instance_uid": derived_uid("series", *series_seed),
        "series_number": series_number(full, SERIES_OFFSET),
        "sop_instance_uid": derived_uid(*seed),
        "instance_number": instance_number(full) if len(headers) == 1 else 1,
        "series_description": SERIES_DESCRIPTION,
        "content_label": "CONTOURS",
        "content_description": SERIES_DESCRIPTION,
        "graphic_annotations": [_annotation(item, headers, layers[item.segment]) for item in drawn],
        "graphic_layers": layers,
        **algorithm.equipment,
    }
    if is_grey:
        result: Dataset = hd.pr.GrayscaleSoftcopyPresentationState(
            presentation_lut_transformation=hd.PresentationLUTTransformation(
                presentation_lut_shape="INVERSE" if is_inverted(full) else "IDENTITY"
            ),
            **common,
        )
    else:
        result = hd.pr.ColorSoftcopyPresentationState(icc_profile=_color_profile(), **common)
    result.DisplayedAreaSelectionSequence = [displayed_area(full)]
    if is_grey:
        result.update(modality_values(source))
        if shown := windows(source, window):
            result.SoftcopyVOILUTSequence = shown
    result.Laterality = source.laterality  # type 2C
    complete(result, full, algorithm, seed=seed)
    result.PresentationCreationDate, result.PresentationCreationTime = result.ContentDate, result.ContentTime
    for keyword in ("ContentDate", "ContentTime"):  # a presentation state has its own
        del result[keyword]
    return result


def _annotation(drawn: _Drawn, headers: Sequence[Dataset], layer: Any) -> Any:
    import highdicom as hd  # noqa: PLC0415  (see _make)

    is_multiframe = len(headers) == 1 and "PerFrameFunctionalGroupsSequence" in headers[0]
    return hd.pr.GraphicAnnotation(
        referenced_images=[headers[0] if is_multiframe else headers[drawn.frame]],
        graphic_layer=layer,
        referenced_frame_number=drawn.frame + 1 if is_multiframe else None,
        graphic_objects=[
            hd.pr.GraphicObject(graphic_type="POLYLINE", graphic_data=polygon, units="PIXEL")
            for polygon in drawn.polygons
        ],
    )


def _color_profile() -> bytes:
    """The profile of sRGB, as an input's (PS3.3 C.11.15) and of a fixed date (ICC.1 7.2.5, 7.2.8) for equal runs."""
    from PIL import ImageCms  # noqa: PLC0415  (its only use)

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:12] + b"scnr" + profile[16:24] + b"\x07\xe4\0\x01\0\x01\0\0\0\0\0\0" + profile[36:]
