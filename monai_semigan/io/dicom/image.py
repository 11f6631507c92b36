# SPDX-License-Identifier: Apache-2.0
"""Read a single-frame DICOM image (CR, DX and alike): stored values to display order, without its patient's data."""

from __future__ import annotations

from typing import Any

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.decode import DecodedFrame, decode_frames
from monai_semigan.io.dicom.file import DicomFile
from monai_semigan.io.dicom.headers import frames_of
from monai_semigan.io.dicom.rules import SEGMENTATIONS
from monai_semigan.io.dicom.values import ElementValues, quiet_dicom

__all__ = ["read_dicom_image"]

MIN_WINDOW_WIDTH = 1.0
"""A window that is no wider is a threshold and shows nothing."""


def read_dicom_image(file: DicomFile) -> dict[str, Any]:
    """Return the fields of `SourceImage` but its path.

    Stored values go through the modality table or rescale and, where the file has one, the VOI LUT (PS3.3 C.11.2.1.1);
    a window (C.11.2.1.2) is returned, not applied. Padding takes the lowest or, inverted, the highest real value.

    Raises:
        InputError: The file is damaged, holds no image or several frames, or cannot be decompressed.
    """
    name = file.path.name
    frames = frames_of(file)
    if not frames:
        raise InputError(f"`{name}` must hold an image, but has no pixel data.")
    if frames[0].fault is not None:
        raise InputError(f"`{name}` {frames[0].fault}. Copy it again.")
    if len(frames) > 1:
        raise InputError(f"`{name}` must hold one frame, got {len(frames)}. Export single frames.")
    if (frames[0].sop_class_uid or "").startswith(SEGMENTATIONS):
        raise InputError(f"`{name}` must be an image, but is a DICOM segmentation. Give what it was made from.")
    decoded = next(decode_frames(frames, name))
    warnings = list(decoded.warnings)
    if frames[0].is_rescale_incomplete:
        warnings.append("RescaleSlope or RescaleIntercept holds no number; 1 and 0 were taken for what is missing.")
    pixels, window = decoded.values, None
    if decoded.photometric != "RGB":
        pixels, window = _display_values(_without_padding(decoded), decoded.elements, warnings)
    spacing = _spacing(decoded.elements, warnings)
    malformed = dict.fromkeys([*frames[0].malformed, *decoded.elements.malformed])
    ignored = [keyword for keyword in malformed if not keyword.startswith("Rescale")]
    if ignored:
        warnings.append(f"{', '.join(ignored)}: malformed, taken as unknown.")
    return {
        "pixels": pixels,
        "photometric": decoded.photometric,
        "voi_window": window,
        "spacing_mm": spacing,
        "warnings": tuple(warnings),
        "header": file.header,
    }


def _without_padding(decoded: DecodedFrame) -> np.ndarray:
    values, is_padding = decoded.values, decoded.is_padding
    if is_padding is None or is_padding.all():
        return values
    real = values[~is_padding]
    return np.where(is_padding, real.max() if decoded.photometric == "MONOCHROME1" else real.min(), values)


def _display_values(
    values: np.ndarray, elements: ElementValues, warnings: list[str]
) -> tuple[np.ndarray, tuple[float, float] | None]:
    if elements.sequence("VOILUTSequence"):
        from pydicom.pixels.processing import apply_voi_lut  # noqa: PLC0415  (0.3 s to import)

        try:
            with quiet_dicom():
                return np.asarray(apply_voi_lut(values, elements.datasets[0], prefer_lut=True)), None
        except Exception:  # pydicom raises what it likes
            warnings.append("VOILUTSequence cannot be applied and was ignored.")
    center, width = elements.number("WindowCenter"), elements.number("WindowWidth")
    if center is None or width is None:
        return values, None
    if width <= MIN_WINDOW_WIDTH:
        warnings.append("The display window is no wider than one value and was ignored.")
        return values, None
    return values, (center, width)


def _spacing(elements: ElementValues, warnings: list[str]) -> tuple[float, float] | None:
    """Pixel spacing in mm: calibrated, or at the detector, where anatomy is magnified (PS3.3 10.7.1.3)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        numbers = elements.numbers(keyword, 2)
        if numbers is not None and min(numbers) > 0:
            if keyword == "ImagerPixelSpacing":
                warnings.append("Spacing is that of the detector.")
            return numbers[0], numbers[1]
    return None
