# SPDX-License-Identifier: Apache-2.0
"""Read single images: PNG, JPEG, TIFF, and single-frame DICOM through `dicom_image`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.file import DicomFile, is_dicom, open_dicom
from monai_semigan.io.dicom.identity import Identity, identity_of
from monai_semigan.io.folder import digest_of_files, files_in
from monai_semigan.io.limits import MAX_PIXELS, check_pixel_count
from monai_semigan.types import PathLike

__all__ = ["ImageFile", "SourceImage", "find_images", "read_image", "require_color", "require_grey"]

MIN_SIDE = 16
"""Smaller images show no anatomy."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"})

MAX_HELD_BYTES = 2**30
"""A larger DICOM file is not read before its header has been judged."""

GREY_TOLERANCE = 12
"""An RGB image is grey when its channels differ by no more than this (JPEG rounding), of 255."""


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """An image as its file holds it.

    Attributes:
        path: Where it came from.
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB, in the file's own number type and range.
        spacing_mm: Distance of pixel centres, ``(row, column)``; None if unknown.
        photometric: ``MONOCHROME1`` (lowest value is white), ``MONOCHROME2`` or ``RGB``.
        voi_window: ``(center, width)`` that the file asks to be displayed with, in grey values; None if none.
        is_dicom: The file is a DICOM instance.
        warnings: What a reader of the result should know.
        header: Of a DICOM instance its header (a pydicom dataset) without pixels, for results that refer to it.
    """

    path: Path
    pixels: np.ndarray
    spacing_mm: tuple[float, float] | None = None
    photometric: str = "MONOCHROME2"
    voi_window: tuple[float, float] | None = None
    is_dicom: bool = False
    warnings: tuple[str, ...] = ()
    header: Any = None


def find_images(inputs: Iterable[PathLike], *, skip: PathLike | None = None) -> list[Path]:
    """List the images among files and, recursively, folders; in order, without doubles.

    In folders, files are taken by their ending, and files without one if they are DICOM; hidden files are left out.

    Args:
        inputs: Files and folders.
        skip: A folder inside them that is left out, such as that of the results.

    Raises:
        InputError: A path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    left_out = None if skip is None else Path(skip)
    for item in map(Path, inputs):
        if item.is_dir():
            inside = [path for path in sorted(files_in(item, skip=left_out)) if _is_candidate(path)]
            if not inside:
                raise InputError(f"`{item}` must hold images ({', '.join(sorted(SUFFIXES))}), but holds none.")
            found |= dict.fromkeys(inside)
        elif item.exists():
            found[item] = None
        else:
            raise InputError(f"`{item}` must be an image file or a folder of them, but does not exist.")
    return list(found)


class ImageFile:
    """An image's file on its way through a case. A DICOM file is opened once, whatever is asked for.

    Attributes:
        path: The file.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._dicom: DicomFile | None = None
        self._is_known = False

    def digest(self) -> str:
        """Compute the SHA-256 of the content.

        Raises:
            InputError: The file cannot be read.
        """
        dicom = self._opened()
        return digest_of_files([self.path]) if dicom is None else dicom.digest()

    def identity(self) -> Identity | None:
        """Return what a DICOM header says of the patient; None for other files, and for damaged ones."""
        try:
            dicom = self._opened()
        except InputError:  # reading says what is wrong
            return None
        return None if dicom is None else identity_of(dicom.header)

    def read(self) -> SourceImage:
        """Read the image, as `read_image` does."""
        path = self.path
        dicom = self._opened()
        if dicom is not None:
            from monai_semigan.io.dicom.image import read_dicom_image  # noqa: PLC0415  (pydicom: 0.3 s to import)

            source = SourceImage(path=path, is_dicom=True, **read_dicom_image(dicom))
        else:
            source = SourceImage(path=path, **_read_with_pillow(path))
        if min(source.pixels.shape[:2]) < MIN_SIDE:
            height, width = source.pixels.shape[:2]
            raise InputError(f"`{path.name}` must be at least {MIN_SIDE} pixels wide and high, got {width} x {height}.")
        return source

    def _opened(self) -> DicomFile | None:
        if not self._is_known:
            if self.path.is_dir():
                raise InputError(f"`{self.path}` must be an image file, got a folder.")
            if not self.path.exists():
                raise InputError(f"`{self.path}` must be an image file, but does not exist.")
            self._dicom = open_dicom(self.path, room=MAX_HELD_BYTES)
            self._is_known = True
        return self._dicom


def read_image(path: PathLike) -> SourceImage:
    """Read one image.

    Raises:
        InputError: The file cannot be read as a single image, with the reason.
    """
    return ImageFile(path).read()


def require_grey(source: SourceImage) -> SourceImage:
    """Return the image with ``(H, W)`` grey pixels; an RGB image must have equal channels.

    Raises:
        InputError: The image is in color.
    """
    pixels = source.pixels
    if pixels.ndim == 2:
        return source
    spread = pixels.max(axis=2).astype(np.int32) - pixels.min(axis=2)
    if np.percentile(spread, 99.9) > GREY_TOLERANCE * (257 if pixels.dtype == np.uint16 else 1):
        raise InputError(f"`{source.path.name}` must be a grey image for this bundle, got a color photograph.")
    return replace(source, pixels=np.ascontiguousarray(pixels[:, :, 1]), photometric="MONOCHROME2")


def require_color(source: SourceImage) -> SourceImage:
    """Return the image if it has ``(H, W, 3)`` RGB pixels.

    Raises:
        InputError: The image is grey.
    """
    if source.pixels.ndim != 3:
        raise InputError(f"`{source.path.name}` must be a color photograph for this bundle, got a grey image.")
    return source


def _read_with_pillow(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked below
            with Image.open(path) as picture:
                check_pixel_count(path.name, *picture.size)
                if getattr(picture, "n_frames", 1) > 1:
                    raise InputError(f"`{path.name}` must hold one image, got {picture.n_frames} frames.")  # type: ignore[attr-defined]
                return _pixels_of(picture)
    except Image.DecompressionBombError:
        raise InputError(f"`{path.name}` must have at most {MAX_PIXELS // 1_000_000} megapixels.") from None
    except UnidentifiedImageError:
        raise InputError(f"`{path.name}` must be a PNG, JPEG, TIFF or DICOM image, but its content is none.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"`{path.name}` must be a complete image, but is damaged or cut short ({error}). Copy it again."
        ) from error


def _pixels_of(picture: Image.Image) -> dict[str, Any]:
    mode = picture.mode
    if mode == "1":
        return {"pixels": np.asarray(picture.convert("L"))}
    if mode in ("L", "F") or mode.startswith("I;16"):
        pixels = np.asarray(picture)
        return {"pixels": pixels.astype(pixels.dtype.newbyteorder("="))}
    if mode == "I":  # Pillow widens some 16-bit files
        return {"pixels": np.asarray(picture)}
    if mode == "LA":
        return {"pixels": np.asarray(picture.convert("L"))}
    return {"pixels": np.asarray(picture.convert("RGB")), "photometric": "RGB"}


def _is_candidate(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES or (not path.suffix and is_dicom(path))
