# SPDX-License-Identifier: Apache-2.0
"""Read single images: PNG, JPEG, TIFF, BMP, and single-frame DICOM through `dicom_image`.

A file's orientation (EXIF and TIFF tag 274) is honoured alike in all formats: an image is read upright, as a viewer
shows it, and label maps lie on the pixels as stored, as annotation tools and array libraries see them.
`SourceImage.as_stored` turns a label back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from monai_semigan.errors import InputError
from monai_semigan.io.dicom.file import DicomFile, is_dicom, open_dicom
from monai_semigan.io.dicom.identity import Identity, identity_of
from monai_semigan.io.folder import digest_of_files, files_in
from monai_semigan.io.limits import MAX_PIXELS, check_pixel_count
from monai_semigan.types import PathLike

__all__ = [
    "ImageFile",
    "NoImageError",
    "SourceImage",
    "find_images",
    "image_format",
    "image_stem",
    "read_image",
    "read_stored",
    "require_color",
    "require_grey",
    "to_stored",
]

MIN_SIDE = 16
"""Smaller images show no anatomy."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".dcm", ".dicom"})

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}
"""First bytes: PNG (section 5.2), JPEG (the marker SOI and that of the next segment), TIFF 6.0 and BigTIFF."""

CASE_FILE = "case.json"
"""A folder that holds it holds results of an earlier run."""

MAX_HELD_BYTES = 2**30
"""A larger DICOM file is not read before its header has been judged."""

GREY_TOLERANCE = 12
"""An RGB image is grey when its channels differ by no more than this (JPEG rounding), of 255."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
"""Pillow's readers that may see a file; JPEG includes MPO, of which the first picture counts. GIF: JSRT's masks."""

TURNS = {1: (0, 0, 0), 2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
"""By orientation, what makes stored pixels upright: rows and columns change places, then rows, then columns turn."""

ORIENTATION, PHOTOMETRIC, BITS, SAMPLES, PLANES = 274, 262, 258, 277, 284
"""Tags of TIFF 6.0, the first one of EXIF too."""

WHITE_IS_ZERO = 0


class NoImageError(InputError):
    """A folder holds no image."""


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """An image as its file holds it.

    Attributes:
        path: Where it came from.
        pixels: ``(H, W)`` grey or ``(H, W, 3)`` RGB, upright, in the file's own number type and range.
        spacing_mm: Distance of pixel centres, ``(row, column)``; None if unknown.
        photometric: ``MONOCHROME1`` (lowest value is white), ``MONOCHROME2`` or ``RGB``.
        voi_window: ``(center, width)`` that the file asks to be displayed with, in grey values; None if none.
        is_dicom: The file is a DICOM instance.
        orientation: How the file's pixels must be turned to be upright (EXIF's number, 1 to 8), as ``pixels`` are.
        warnings: What a reader of the result should know.
        header: Of a DICOM instance its header (a pydicom dataset) without pixels, for results that refer to it.
    """

    path: Path
    pixels: np.ndarray
    spacing_mm: tuple[float, float] | None = None
    photometric: str = "MONOCHROME2"
    voi_window: tuple[float, float] | None = None
    is_dicom: bool = False
    orientation: int = 1
    warnings: tuple[str, ...] = ()
    header: Any = field(default=None, repr=False, compare=False)  # its text is the patient's

    def as_stored(self, upright: np.ndarray) -> np.ndarray:
        """Turn what lies on `pixels`, ``(H, W)`` or ``(H, W, C)``, onto the pixels as stored."""
        return to_stored(upright, self.orientation)

    def as_shown(self, stored: np.ndarray) -> np.ndarray:
        """Turn what lies on the pixels as stored, such as a label map, onto `pixels`."""
        return _upright(stored, self.orientation)


def find_images(inputs: Iterable[PathLike], *, skip: PathLike | None = None) -> list[Path]:
    """List the images among files and, recursively, folders; in order, without doubles.

    In folders, files are taken by their ending, without one by their first bytes, and DICOM files whatever their name;
    hidden files and the results of earlier runs are left out.

    Args:
        inputs: Files and folders.
        skip: A folder inside them that is left out, such as that of the results.

    Raises:
        NoImageError: A folder holds no image.
        InputError: A path does not exist.
    """
    found: dict[Path, None] = {}
    left_out = None if skip is None else Path(skip)
    for item in map(Path, inputs):
        if item.is_dir():
            inside = [path for path in sorted(files_in(item, skip=left_out)) if _is_candidate(path)]
            if not inside:
                raise NoImageError(f"`{item}` must hold images ({', '.join(sorted(SUFFIXES))}), but holds none.")
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


def image_format(path: Path) -> str | None:
    """Return what a file is by its first bytes, ``png``, ``jpeg`` or ``tiff``; None for anything else."""
    try:
        with path.open("rb") as stream:
            head = stream.read(max(map(len, SIGNATURES)))
    except OSError:
        return None
    return next((name for signature, name in SIGNATURES.items() if head.startswith(signature)), None)


def image_stem(path: Path) -> str:
    """Return a file's name without the ending of an image; a DICOM file may be named by a number with dots."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


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


def read_stored(path: PathLike) -> np.ndarray:
    """Read the values of a label map, ``(H, W)``, on the pixels as stored; of a palette the indices, of bits 0 and 1.

    Raises:
        InputError: The file cannot be read as a single image of one value per pixel.
    """
    path = Path(path)
    if path.is_file() and is_dicom(path):
        source = read_image(path)
        pixels = source.pixels
    else:
        with _opened(path) as (picture, orientation):
            has_palette = picture.mode in ("P", "1")
            pixels = np.asarray(picture) if has_palette else _pixels_of(path.name, picture, is_label=True)["pixels"]
            if picture.format == "TIFF":  # Pillow turned it
                pixels = to_stored(pixels, orientation)
    if pixels.ndim == 3:
        if np.ptp(pixels, axis=2).any():
            raise InputError(f"`{path.name}` must hold class ids, got a color image.")
        pixels = pixels[:, :, 0]
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _read_with_pillow(path: Path) -> dict[str, Any]:
    with _opened(path) as (picture, orientation):
        found = _pixels_of(path.name, picture)
        if picture.format != "TIFF":  # Pillow turns TIFF alone
            found["pixels"] = _upright(found["pixels"], orientation)
        return {**found, "orientation": orientation}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, int]]:
    """Load an image after the checks of its header, with its orientation; what Pillow raises becomes an `InputError`.

    Pillow's own words are not repeated: they may hold what the file says.
    """
    if path.is_dir() or not path.exists():
        raise InputError(
            f"`{path}` must be an image file, " + ("got a folder." if path.is_dir() else "but does not exist.")
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is checked below; damaged tags are none of the pixels
            # Of a stream: Pillow maps files by name into memory, and TIFF lying on its side wrongly.
            with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as picture:
                check_pixel_count(path.name, *picture.size)
                frames = getattr(picture, "n_frames", 1)
                if frames > 1 and picture.format != "MPO":
                    raise InputError(f"`{path.name}` must hold one image, got {frames} frames.")
                if isinstance(picture, TiffImagePlugin.TiffImageFile):
                    _check_tiff(path.name, picture)
                orientation = _orientation(picture)
                picture.load()  # Pillow turns TIFF now, and forgets that it did
                yield picture, orientation
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"`{path.name}` must have at most {MAX_PIXELS // 1_000_000} megapixels.") from None
    except UnidentifiedImageError:
        raise InputError(f"`{path.name}` must be a PNG, JPEG, TIFF or DICOM image, but its content is none.") from None
    except MemoryError as error:
        raise InputError(f"`{path.name}` must fit into memory. Downsample it first.") from error
    except Exception as error:  # decoders raise what they like, down to TypeError and struct.error
        raise InputError(
            f"`{path.name}` must be a complete image, but is damaged or cut short ({type(error).__name__}). Copy it "
            "again."
        ) from error


def _check_tiff(name: str, picture: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse what Pillow reads wrongly: planes of more than 8 bits."""
    tags = picture.tag_v2
    bits, planes = tags.get(BITS, (1,)), tags.get(PLANES, 1)
    deepest = max(bits) if isinstance(bits, tuple) else bits
    if planes not in (1, 2) or (planes == 2 and tags.get(SAMPLES, 1) > 1 and deepest > 8):
        raise InputError(f"`{name}` must hold its color pixel by pixel, or in planes of 8 bits. Save it so.")


def _orientation(picture: Image.Image) -> int:
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF is damaged more often than the picture
        return 1
    return found if isinstance(found, int) and found in TURNS else 1


def _upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    is_transposed, rows, columns = TURNS[orientation]
    turned = stored.swapaxes(0, 1) if is_transposed else stored
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


def to_stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Turn what lies on upright pixels, ``(H, W)`` or ``(H, W, C)``, back onto those of an orientation, 1 to 8."""
    is_transposed, rows, columns = TURNS[orientation]
    turned = upright[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(turned.swapaxes(0, 1) if is_transposed else turned)


def _pixels_of(name: str, picture: Image.Image, *, is_label: bool = False) -> dict[str, Any]:
    mode = picture.mode
    is_inverted = isinstance(picture, TiffImagePlugin.TiffImageFile) and (
        picture.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    )
    if mode in ("1", "L"):  # Pillow inverts these itself
        return {"pixels": np.asarray(picture.convert("L"))}
    if mode in ("I", "F") or mode.startswith("I;16"):  # as "I", Pillow widens some 16-bit files
        pixels = np.asarray(picture)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        return {"pixels": pixels, "photometric": "MONOCHROME1" if is_inverted and not is_label else "MONOCHROME2"}
    remarks: tuple[str, ...] = ()
    if "A" in picture.getbands() or "transparency" in picture.info:
        low, high = picture.convert("RGBA").getchannel("A").getextrema()
        if low != high:
            if is_label:
                raise InputError(f"`{name}` must hold class ids, but its transparency varies. Save it without alpha.")
            remarks = ("The image's transparency was ignored.",)
    grey = mode == "LA"
    pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    return {"pixels": pixels, "photometric": "MONOCHROME2" if grey else "RGB", "warnings": remarks}


def _is_candidate(path: Path) -> bool:
    """Known by its ending, or by its first bytes; what lies beside a ``case.json`` is a result, not an input."""
    if (path.parent / CASE_FILE).exists():
        return False
    if path.suffix.lower() in SUFFIXES or is_dicom(path):
        return True
    # Another ending says that it is something else, such as a camera's raw file, which begins as a TIFF does.
    has_ending = not path.suffix[1:].isdigit() and path.suffix != ""
    return not has_ending and image_format(path) is not None
