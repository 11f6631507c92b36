# SPDX-License-Identifier: Apache-2.0
"""From a frame's stored pixels to values: one way for slices of a series, frames of an object and single images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.file import transfer_syntax
from monai_semigan.io.dicom.headers import MIN_FRAME_BYTES, FrameHeader
from monai_semigan.io.dicom.values import ElementValues, quiet_dicom
from monai_semigan.io.limits import check_pixel_count

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["DecodedFrame", "decode_frames"]

WORD = 2**16
"""Pixel Padding Value is one word, written signed or not: 63536 and -2000 are the same."""


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """A frame's values.

    Attributes:
        values: ``(rows, columns)``: after the modality table (PS3.3 C.11.1) or the rescale, float32, or as stored where
            there is neither; ``(rows, columns, 3)`` RGB of color images. Inverted display (MONOCHROME1), windows and
            real-world value maps are not applied.
        is_padding: Where Pixel Padding (C.7.5.1.1.2) stands for no value, ``(rows, columns)``; None where nowhere.
        photometric: ``MONOCHROME1``, ``MONOCHROME2`` or ``RGB``.
        elements: Of the file, with what was found malformed in it.
        warnings: What was assumed.
    """

    values: np.ndarray
    is_padding: np.ndarray | None
    photometric: str
    elements: ElementValues
    warnings: tuple[str, ...]


def decode_frames(frames: Sequence[FrameHeader], name: str) -> Iterator[DecodedFrame]:
    """Decode frames of one file, in the order given; the file's bytes are let go.

    Args:
        frames: Of one file.
        name: Of the case, for errors.

    Raises:
        InputError: The file has no pixels, fewer or more than it declares, or they cannot be decoded.
    """
    first = frames[0]
    file = first.file
    check_pixel_count(name, first.columns, first.rows)
    dataset = file.dataset()
    elements = ElementValues(dataset)
    try:
        with quiet_dicom():
            warnings = _completed(dataset, elements, first)
            _check_frame_count(dataset, first, name)
            stored = _stored(dataset, [(frame.frame or 1) - 1 for frame in frames])
    except InputError:
        raise
    except Exception as error:  # the libraries raise what they like
        raise _undecodable(name, first, dataset, error) from None
    for frame in frames:
        try:
            with quiet_dicom():
                decoded = _decoded(next(stored), dataset, elements, frame, warnings)
        except InputError:
            raise
        except Exception as error:  # decoders raise what they like, down to IndexError and NotImplementedError
            raise _undecodable(name, frame, dataset, error) from None
        yield decoded


def _stored(dataset: Dataset, indices: list[int]) -> Iterator[np.ndarray]:
    from pydicom.pixels.utils import iter_pixels  # noqa: PLC0415  (0.3 s to import)

    return iter_pixels(dataset, indices=indices)


def _completed(dataset: Dataset, elements: ElementValues, first: FrameHeader) -> tuple[str, ...]:
    """Set what pydicom needs and a header may leave out, and return what was assumed."""
    warnings = []
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = first.rows, first.columns, first.samples
    declared = elements.integer("NumberOfFrames")
    if declared is None or declared < 1:
        dataset.NumberOfFrames = max(1, len(elements.sequence("PerFrameFunctionalGroupsSequence")))
    else:
        dataset.NumberOfFrames = declared
    if not elements.text("PhotometricInterpretation"):
        dataset.PhotometricInterpretation = "MONOCHROME2" if first.samples == 1 else "RGB"
        warnings.append(f"PhotometricInterpretation is missing; {dataset.PhotometricInterpretation} was assumed.")
    if first.samples > 1 and elements.integer("PlanarConfiguration") is None:
        dataset.PlanarConfiguration = 0
    return tuple(warnings)


def _check_frame_count(dataset: Dataset, first: FrameHeader, name: str) -> None:
    """Compare the declared frames with the pixels that are there, before anything is allocated.

    Raises:
        InputError: There are no pixels, or those of more or far fewer frames.
    """
    from pydicom.encaps import parse_basic_offsets  # noqa: PLC0415  (0.3 s to import)

    where = f"`{name}`" if name == first.path.name else f"`{name}`: `{first.path.name}`"
    keyword = next((k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in dataset), None)
    if keyword is None or not dataset[keyword].value:
        raise InputError(f"{where} must hold an image, but has no pixel data.")
    data, declared = dataset[keyword].value, int(dataset.NumberOfFrames)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        present = max(len(parse_basic_offsets(data)), min(declared, len(data) // MIN_FRAME_BYTES))
    else:
        samples = 2 if dataset.PhotometricInterpretation == "YBR_FULL_422" else first.samples
        present = len(data) * 8 // (first.rows * first.columns * samples * int(dataset.BitsAllocated))
    if present > declared or present < declared > 1:
        raise InputError(
            f"{where} must hold the pixels of the frames that it declares, got {declared:,} declared and about "
            f"{present:,} present. Copy it again, or correct NumberOfFrames."
        )


def _decoded(
    stored: np.ndarray, dataset: Dataset, elements: ElementValues, frame: FrameHeader, warnings: tuple[str, ...]
) -> DecodedFrame:
    photometric = str(dataset.PhotometricInterpretation)
    is_padding = None
    if photometric == "PALETTE COLOR":
        stored, photometric = _palette_colors(stored, dataset), "RGB"
    elif stored.ndim == 3:
        if stored.shape[2] != 3:
            raise InputError(f"`{frame.path.name}` must have 1 or 3 samples per pixel, got {stored.shape[2]}.")
        photometric = "RGB"
    else:
        is_padding = _padding(stored, elements)
        stored = _modality_values(stored, dataset, frame)
        photometric = "MONOCHROME1" if photometric == "MONOCHROME1" else "MONOCHROME2"
    return DecodedFrame(
        values=stored, is_padding=is_padding, photometric=photometric, elements=elements, warnings=warnings
    )


def _modality_values(stored: np.ndarray, dataset: Dataset, frame: FrameHeader) -> np.ndarray:
    if frame.has_modality_lut:
        from pydicom.pixels.processing import apply_modality_lut  # noqa: PLC0415  (0.3 s to import)

        return np.asarray(apply_modality_lut(stored, dataset))
    if frame.rescale is None:
        return stored
    slope, intercept = frame.rescale
    return (stored * slope + intercept).astype(np.float32)  # 24 bits hold every 16-bit value times a slope


def _padding(stored: np.ndarray, elements: ElementValues) -> np.ndarray | None:
    value = elements.integer("PixelPaddingValue")
    if value is None:
        return None
    limit = elements.integer("PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(bound, stored.dtype) for bound in (value, value if limit is None else limit))
    is_padding: np.ndarray = (stored >= low) & (stored <= high)
    return is_padding if is_padding.any() else None


def _as_stored(value: int, dtype: np.dtype[Any]) -> int:
    """Read a word as the pixels are: signed or not."""
    if dtype.kind == "u" and value < 0:
        return value + WORD
    return value - WORD if dtype.kind == "i" and dtype.itemsize <= 2 and value >= WORD // 2 else value


def _palette_colors(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Look colors up (PS3.3 C.7.6.3.1.5), ``(rows, columns, 3)`` uint8."""
    first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
    table = _palette(dataset)
    places = np.clip(stored.astype(np.int64) - _as_stored(first, stored.dtype), 0, len(table) - 1)
    colors: np.ndarray = table[places]
    return colors


def _palette(dataset: Dataset) -> np.ndarray:
    """Return the table ``(entries, 3)`` uint8; 8 bits also where they are stored in words, 16 bits by their upper 8."""
    num_entries = int(dataset.RedPaletteColorLookupTableDescriptor[0]) or WORD
    if "RedPaletteColorLookupTableData" in dataset:
        is_little_endian = dataset.original_encoding[1]
        channels = []
        for color in ("Red", "Green", "Blue"):
            data = dataset[f"{color}PaletteColorLookupTableData"].value
            if isinstance(data, bytes):
                words = np.dtype(np.uint16).newbyteorder("<" if is_little_endian else ">")
                data = np.frombuffer(data, words if len(data) >= 2 * num_entries else np.uint8)
            channels.append(np.asarray(data)[:num_entries])
        table = np.stack(channels, axis=1)
    else:
        from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415  (0.3 s to import)

        first = int(dataset.RedPaletteColorLookupTableDescriptor[1])
        table = apply_color_lut(np.arange(first, first + num_entries), dataset)[:, :3]
    return (table if table.max() <= 255 else table >> 8).astype(np.uint8)


def _undecodable(name: str, frame: FrameHeader, dataset: Dataset, error: Exception) -> InputError:
    file = frame.path.name
    slice_ = "" if name == file else f" of slice {frame.number} (`{file}`)"
    return InputError(
        f"`{name}`: the pixels{slice_} could not be decoded ({type(error).__name__}, transfer syntax "
        f"{transfer_syntax(dataset)}). Copy the file again, or decompress it first."
    )
