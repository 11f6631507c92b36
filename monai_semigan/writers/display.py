# SPDX-License-Identifier: Apache-2.0
"""How a viewer makes grey of an image's values, in the words of a presentation state, which replaces the image's own.

The modules are Modality LUT, Softcopy VOI LUT and Displayed Area (PS3.3 C.11.1, C.11.8 and C.10.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monai_semigan.errors import OutputError
from monai_semigan.io.dicom.values import ElementValues
from monai_semigan.writers.dicom_source import SourceFrames

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["displayed_area", "is_inverted", "modality_values", "windows"]

RESCALES = "PixelValueTransformationSequence"
WINDOWS = "FrameVOILUTSequence"


def is_inverted(full: Dataset) -> bool:
    """Whether the lowest value of an image is white."""
    return ElementValues(full).words("PhotometricInterpretation") == ("MONOCHROME1",)


def modality_values(source: SourceFrames) -> Dataset:
    """Return the elements that turn stored values into those of the modality, such as HU; none where nothing does.

    Raises:
        OutputError: They differ between the frames, which one presentation state cannot say.
    """
    from pydicom import Dataset  # noqa: PLC0415  (only who writes DICOM pays for the import)
    from pydicom.valuerep import format_number_as_ds  # noqa: PLC0415  (the same)

    made, full = Dataset(), source.full
    if ElementValues(full).sequence("ModalityLUTSequence"):
        made.ModalityLUTSequence = full.ModalityLUTSequence
        return made
    found = {
        (values.number("RescaleSlope"), values.number("RescaleIntercept"))
        for item in source.fulls
        for values in _of_frames(item, RESCALES)
    }
    if len(found) > 1:
        raise OutputError("The frames must be rescaled alike for outlines over them. Use DICOM SEG.")
    (slope, intercept), *_ = found or {(None, None)}
    if slope is not None or intercept is not None:
        made.RescaleSlope = format_number_as_ds(1.0 if slope is None else slope)
        made.RescaleIntercept = format_number_as_ds(0.0 if intercept is None else intercept)
        unit = next(iter(_of_frames(full, RESCALES))).words("RescaleType")
        made.RescaleType = unit[0] if len(unit) == 1 and len(unit[0]) <= 16 else "US"  # US: unspecified
    return made


def windows(source: SourceFrames, usual: tuple[float, float] | None) -> list[Dataset]:
    """Return the items of a Softcopy VOI LUT Sequence: the source's windows or tables, each with its images.

    Args:
        source: The images; frames of one file with windows that differ are shown with ``usual``.
        usual: Values to show black and white where the source does not say it.
    """
    from pydicom import Dataset  # noqa: PLC0415  (see modality_values)
    from pydicom.valuerep import format_number_as_ds  # noqa: PLC0415  (see modality_values)

    tables = ElementValues(source.full).sequence("VOILUTSequence")
    if len(source.fulls) == 1 and tables:
        item = Dataset()
        item.VOILUTSequence = tables[:1]
        return [item]
    by_window: dict[tuple[float, float], list[Dataset]] = {}
    for full, header in zip(source.fulls, source.headers, strict=True):
        window = _window(full) or _center_and_width(usual)
        if window is not None:
            by_window.setdefault(window, []).append(header)
    made = []
    for (center, width), headers in by_window.items():
        item = Dataset()
        item.WindowCenter, item.WindowWidth = format_number_as_ds(center), format_number_as_ds(width)
        if len(headers) < len(source.headers):
            item.ReferencedImageSequence = [_reference(header) for header in headers]
        made.append(item)
    return made


def displayed_area(full: Dataset) -> Dataset:
    """Show all of an image, its pixels as wide and high as they are."""
    from pydicom import Dataset  # noqa: PLC0415  (see modality_values)
    from pydicom.valuerep import format_number_as_ds  # noqa: PLC0415  (see modality_values)

    values, area = ElementValues(full, *_of_frames(full, "PixelMeasuresSequence")[0].datasets), Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(full.Columns), int(full.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    spacing = values.numbers("PixelSpacing", 2) or values.numbers("ImagerPixelSpacing", 2)
    ratio = values.numbers("PixelAspectRatio", 2)
    if spacing and min(spacing) > 0:
        area.PresentationPixelSpacing = [format_number_as_ds(value) for value in spacing]
    elif ratio and min(ratio) >= 1:
        area.PresentationPixelAspectRatio = [round(value) for value in ratio]
    else:
        area.PresentationPixelAspectRatio = [1, 1]
    return area


def _of_frames(full: Dataset, macro: str) -> list[ElementValues]:
    """A header's values, or of a multi-frame header those of a functional group macro, shared or frame by frame."""
    groups: list[Any] = [
        group
        for name in ("Shared", "PerFrame")
        for group in ElementValues(full).sequence(f"{name}FunctionalGroupsSequence")
    ]
    found = [ElementValues(item) for group in groups for item in ElementValues(group).sequence(macro)[:1]]
    return found or [ElementValues(full)]


def _window(full: Dataset) -> tuple[float, float] | None:
    """Center and width, if there are any and the same for all frames."""
    found = {(values.number("WindowCenter"), values.number("WindowWidth")) for values in _of_frames(full, WINDOWS)}
    (center, width), *others = found
    return None if others or center is None or width is None or width < 1 else (center, width)


def _center_and_width(usual: tuple[float, float] | None) -> tuple[float, float] | None:
    if usual is None or not usual[1] - usual[0] >= 1:
        return None
    return (usual[0] + usual[1]) / 2, float(usual[1] - usual[0])


def _reference(header: Dataset) -> Dataset:
    from pydicom import Dataset  # noqa: PLC0415  (see modality_values)

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
