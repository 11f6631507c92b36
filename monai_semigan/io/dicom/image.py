# SPDX-License-Identifier: Apache-2.0
"""Read a single-frame DICOM image (CR, DX and alike): stored values to display order, without its patient's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

from monai_semigan.errors import InputError
from monai_semigan.io.limits import check_pixel_count

__all__ = ["read_dicom_image"]


def read_dicom_image(path: Path) -> dict[str, Any]:
    """Return the fields of `SourceImage` but its path.

    Stored values go through the modality LUT (PS3.3 C.11.1) and, where the file has one, the VOI LUT (C.11.2.1.1);
    a window (C.11.2.1.2) is returned, not applied.

    Raises:
        InputError: The file is damaged, holds no image or several frames, or cannot be decompressed.
    """
    name = path.name
    try:
        dataset = pydicom.dcmread(path)
    except Exception as error:  # pydicom raises what it likes for damaged headers, down to MemoryError
        raise InputError(f"`{name}` must be a DICOM file, but is damaged ({type(error).__name__}).") from error
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if "PixelData" not in dataset or not rows or not columns:
        raise InputError(f"`{name}` must hold an image, but has no pixel data.")
    check_pixel_count(name, int(columns), int(rows))
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise InputError(f"`{name}` must hold one frame, got {frames}. Export single frames.")
    pixels = _decode(name, dataset)
    if pixels.ndim == 3:
        return {"pixels": pixels, "photometric": "RGB", "spacing_mm": _spacing(dataset)[0]}
    pixels, window = _to_display_values(_without_padding(pixels, dataset), dataset)
    spacing, warnings = _spacing(dataset)
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    return {
        "pixels": pixels,
        "photometric": photometric if photometric == "MONOCHROME1" else "MONOCHROME2",
        "voi_window": window,
        "spacing_mm": spacing,
        "warnings": warnings,
    }


def _decode(name: str, dataset: pydicom.Dataset) -> np.ndarray:
    try:
        pixels: np.ndarray = dataset.pixel_array
        if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
            pixels = (apply_color_lut(pixels, dataset) >> 8).astype(np.uint8)
    except Exception as error:  # decoders raise what they like, down to IndexError and NotImplementedError
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        kind = getattr(syntax, "name", "unknown")
        raise InputError(
            f"`{name}` must have pixel data that can be decoded, but failed ({type(error).__name__}, transfer syntax "
            f"{kind}). Copy it again, or decompress it first."
        ) from error
    return pixels


def _without_padding(pixels: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Set padding (PixelPaddingValue, PS3.3 C.7.5.1.1.2) to the lowest or, inverted, the highest real value."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return pixels
    limit = int(dataset.get("PixelPaddingRangeLimit", value))
    is_padding = (pixels >= min(int(value), limit)) & (pixels <= max(int(value), limit))
    if not is_padding.any() or is_padding.all():
        return pixels
    real = pixels[~is_padding]
    is_inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.where(is_padding, real.max() if is_inverted else real.min(), pixels)


def _to_display_values(pixels: np.ndarray, dataset: pydicom.Dataset) -> tuple[np.ndarray, tuple[float, float] | None]:
    values = np.asarray(apply_modality_lut(pixels, dataset))
    if values.dtype == np.float64:  # 24 bits hold every 16-bit value times a slope
        values = values.astype(np.float32)
    if dataset.get("VOILUTSequence"):
        return np.asarray(apply_voi_lut(values, dataset, prefer_lut=True)), None
    center, width = (_first(dataset.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    has_window = center is not None and width is not None and width >= 1
    return values, (center, width) if has_window else None  # type: ignore[return-value]


def _spacing(dataset: pydicom.Dataset) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Pixel spacing in mm: calibrated, or at the detector, where anatomy is magnified (PS3.3 10.7.1.3)."""
    for keyword, warning in (("PixelSpacing", ()), ("ImagerPixelSpacing", ("Spacing is that of the detector.",))):
        value = dataset.get(keyword)
        if value is not None and len(value) == 2 and min(float(value[0]), float(value[1])) > 0:
            return (float(value[0]), float(value[1])), warning
    return None, ()


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    first = value[0] if isinstance(value, (list, pydicom.multival.MultiValue)) else value
    return float(first)
