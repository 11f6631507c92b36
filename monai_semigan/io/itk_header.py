# SPDX-License-Identifier: Apache-2.0
"""The text headers of MetaImage (MHA, MHD) and NRRD (NRRD, NHDR), read strictly: what is unusual is refused.

Nothing that such a header says is believed before it has been checked, and no library gets it: those that read these
formats end the process, or never return, on some of them. Sources: MetaIO's and teem's descriptions of the formats.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_semigan.errors import InputError
from monai_semigan.io.limits import MAX_SLICES, check_volume_shape

__all__ = ["ItkHeader", "read_itk_header"]

MAX_HEADER_BYTES = 2**20

MAX_NAME_BYTES = 255
"""Of one folder or file, in usual file systems."""

META_TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4",
    "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
"""Element types of MetaIO after ``MET_``; its long has 4 bytes on every machine."""

NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}

META_NAMES = {
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
    "Position": "Offset", "Origin": "Offset",
    "Rotation": "TransformMatrix", "Orientation": "TransformMatrix",
}  # fmt: skip

NRRD_NAMES = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins"}

NRRD_SPACES = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
}  # fmt: skip
"""Signs that turn a space's axes to LPS."""

NUMBERED = re.compile(r"([^%]*%0?\d?d[^%]*?)\s+(-?\d{1,9})\s+(-?\d{1,9})\s+(\d{1,9})(?:\s+\d)?")
"""Names by number, in both formats: pattern, first, last, step."""


@dataclass(frozen=True, kw_only=True)
class ItkHeader:
    """What a header says, checked.

    Attributes:
        shape: ``(I, J, K)``.
        dtype: Of a voxel in the file, with its byte order.
        affine: ``(4, 4)`` from indices to LPS+ mm.
        files: Where the voxels are, an equal share in each; the header's own file if they follow it.
        offset: Bytes of each file before them; -1 if they end the file.
        skip: Bytes before them within what is inflated.
        deflated: gzip or zlib.
        segments: Number of layers if it is 3D Slicer's segmentation, else 0.
        warnings: What a reader of the result should know.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    affine: np.ndarray
    files: tuple[Path, ...]
    offset: int
    skip: int = 0
    deflated: bool
    segments: int = 0
    warnings: tuple[str, ...] = ()


def read_itk_header(path: Path) -> ItkHeader:
    """Read the header of a 3-D volume, or of one whose further axes have size 1; the content tells the format.

    Raises:
        InputError: It is damaged or unusual, or has other dimensions or several values per voxel.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(MAX_HEADER_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"`{path}` must be an MHA, MHD or NRRD file, but does not exist.") from error
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error.strerror}.") from error
    return _nrrd(path, start) if start.startswith(b"NRRD") else _meta(path, start)


def _meta(path: Path, start: bytes) -> ItkHeader:
    fields, rest, at = _Fields(path.name), [], 0
    for line, end in _lines(start):
        at = end
        if "ElementDataFile" in fields.values:
            rest.append(line)
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if separator:
            fields.add(META_NAMES.get(key, key), value)
        elif line.strip():
            raise fields.fault("lines of the form `name = value`")
        if key == "ElementDataFile" and value.upper() == "LOCAL":
            break
    dimensions = fields.integer("NDims")
    sizes = fields.integers("DimSize", dimensions)
    if fields.integer("ElementNumberOfChannels", 1) != 1:
        raise InputError(
            f"`{path.name}` must hold one value per voxel, got {fields.values['ElementNumberOfChannels']}."
        )
    kind = META_TYPES.get(fields.required("ElementType").upper().removeprefix("MET_").removesuffix("_TYPE"))
    if kind is None or not fields.flag("BinaryData"):
        raise fields.fault("numbers in binary form, of a type that MetaIO knows")
    if fields.numbers("ElementToIntensityFunctionSlope", 1, [1]) != [1] or any(
        fields.numbers("ElementToIntensityFunctionOffset", 1, [0])
    ):
        raise fields.fault("values that need no scaling")
    spacing = fields.numbers("ElementSpacing", dimensions, fields.numbers("ElementSize", dimensions, [1] * dimensions))
    matrix = fields.numbers("TransformMatrix", dimensions**2, np.eye(dimensions).ravel())
    named, offset = fields.required("ElementDataFile"), fields.integer("HeaderSize", 0)
    is_local = named.upper() == "LOCAL"
    return ItkHeader(
        shape=_volume_shape(path.name, sizes),
        dtype=np.dtype((">" if fields.flag("BinaryDataByteOrderMSB") else "<") + kind),
        affine=_affine(fields, np.reshape(matrix, (dimensions, dimensions)), spacing, dimensions),
        files=(path,) if is_local else _beside(path, named, rest),
        offset=at if is_local else offset,
        deflated=fields.flag("CompressedData"),
    )


def _affine(fields: _Fields, matrix: np.ndarray, spacing: Sequence[float], dimensions: int) -> np.ndarray:
    if min(spacing) <= 0:
        raise fields.fault("a spacing above 0")
    affine = np.eye(4)
    affine[:3, :3] = matrix[:3, :3].T * np.array(spacing[:3])  # a row of the file's matrix is an axis
    affine[:3, 3] = fields.numbers("Offset", dimensions, [0] * dimensions)[:3]
    return affine


def _nrrd(path: Path, start: bytes) -> ItkHeader:
    fields, keys, rest, at, is_attached = _nrrd_fields(path.name, start)
    sizes = fields.integers("sizes", fields.integer("dimension"))
    wanted = fields.required("type").lower()
    kind = next((kind for kind, names in NRRD_TYPES.items() if wanted in names), None)
    encoding = fields.required("encoding").lower()
    if kind is None or encoding not in ("raw", "gzip", "gz"):
        raise fields.fault("numbers of a type that NRRD knows, in the encoding raw or gzip")
    if kind[1] != "1" and fields.required("endian").lower() not in ("little", "big"):
        raise fields.fault("an endian little or big")
    is_raw, named = encoding == "raw", fields.values.get("data file")
    if (named is None) != is_attached and named is None:
        raise fields.fault("voxels after an empty line, or a data file")
    line_skip, byte_skip = fields.integer("line skip", 0), fields.integer("byte skip", 0)
    if line_skip or byte_skip < (-1 if is_raw else 0):
        raise fields.fault("no lines before the voxels, and a known number of bytes")
    segments = _layers(keys)
    axes = _axes(path.name, sizes, fields, segments)
    affine, warnings = _nrrd_affine(fields, axes, len(sizes))
    begins = 0 if named is not None else at
    return ItkHeader(
        shape=_volume_shape(path.name, [sizes[axis] for axis in axes]),
        dtype=np.dtype((">" if fields.values.get("endian", "").lower() == "big" else "<") + kind),
        affine=affine,
        files=(path,) if named is None else _beside(path, named, rest),
        offset=-1 if byte_skip == -1 else begins + (byte_skip if is_raw else 0),
        skip=0 if is_raw else byte_skip,
        deflated=not is_raw,
        segments=segments,
        warnings=warnings,
    )


def _nrrd_fields(name: str, start: bytes) -> tuple[_Fields, dict[str, str], list[str], int, bool]:
    """Return fields, keys, the lines of a list of files, where the header ends, and whether voxels follow there."""
    fields, rest, at, is_attached = _Fields(name), [], 0, False
    keys: dict[str, str] = {}
    for line, end in _lines(start):
        at = end
        text = line.strip()
        if fields.values.get("data file", "").upper().startswith("LIST"):
            rest.append(line)
        elif not text:
            is_attached = True
            break
        elif ":=" in text:
            keys[text.split(":=")[0]] = text.split(":=", 1)[1]
        elif ": " in text:
            field, value = text.split(": ", 1)
            fields.add(NRRD_NAMES.get(field.lower(), field.lower()), value.strip())
        elif not text.startswith(("#", "NRRD0")):
            raise fields.fault("lines of the form `name: value`")
    return fields, keys, rest, at, is_attached


def _layers(keys: Mapping[str, str]) -> int:
    """Count the layers of a segmentation of 3D Slicer; 0 if it is none."""
    if not any(re.fullmatch(r"Segment\d+_ID", key) for key in keys):
        return 0
    return len({value.strip() for key, value in keys.items() if re.fullmatch(r"Segment\d+_Layer", key)}) or 1


def _axes(name: str, sizes: Sequence[int], fields: _Fields, segments: int) -> list[int]:
    """Return the three spatial axes; others must have size 1."""
    if segments > 1:
        raise InputError(
            f"`{name}` must hold one label per voxel, but its segments overlap in {segments} layers. Export it as a "
            "label map."
        )
    vectors = re.findall(r"none|\([^)]*\)", fields.values.get("space directions", "").lower())
    axes = list(range(len(sizes)))
    if len(vectors) == len(sizes):
        axes = [axis for axis in axes if vectors[axis] != "none"]
    if any(sizes[axis] != 1 for axis in range(len(sizes)) if axis not in axes[:3]):
        if len(axes) == 3 and len(sizes) == 4:
            size = next(sizes[axis] for axis in range(4) if axis not in axes)
            raise InputError(f"`{name}` must hold one value per voxel, got {size}.")
        axes = []
    if len(axes) < 3:
        raise InputError(f"`{name}` must be one 3-D volume, got size {tuple(sizes)}. Extract one volume of it first.")
    return axes[:3]


def _nrrd_affine(fields: _Fields, axes: Sequence[int], dimensions: int) -> tuple[np.ndarray, tuple[str, ...]]:
    affine = np.eye(4)
    warnings: tuple[str, ...] = ()
    space = fields.values.get("space", "lps").lower()
    directions = fields.values.get("space directions")
    if directions is None:
        spacing = fields.numbers("spacings", dimensions, [1] * dimensions, unknown=1.0)
        steps = np.array([spacing[axis] for axis in axes])
        if steps.min() <= 0:
            raise fields.fault("a spacing above 0")
        if any(fields.numbers("axis mins", dimensions, [0] * dimensions, unknown=0.0)):
            raise fields.fault("space directions and space origin instead of axis mins")
        affine[:3, :3] = np.diag(steps)
    else:
        vectors = [_vector(fields, text) for text in re.findall(r"none|\([^)]*\)", directions.lower())]
        chosen = [vectors[axis] for axis in axes] if len(vectors) == dimensions else []
        if len(chosen) != 3 or any(len(vector) < 3 for vector in chosen):
            raise fields.fault("space directions in three dimensions")
        affine[:3, :3] = np.array([vector[:3] for vector in chosen]).T
    origin = fields.values.get("space origin")
    if origin is not None:
        vector = _vector(fields, origin)
        if len(vector) < 3:
            raise fields.fault("a space origin in three dimensions")
        affine[:3, 3] = vector[:3]
    if space not in NRRD_SPACES:
        warnings = (f"The space `{space[:40]}` of the header is taken as left-posterior-superior.",)
    affine[:3] *= np.array(NRRD_SPACES.get(space, (1, 1, 1)))[:, None]
    return affine, warnings


def _vector(fields: _Fields, text: str) -> list[float]:
    if text == "none":
        return []
    return [fields.number(word) for word in text.strip("() ").split(",")]


def _volume_shape(name: str, sizes: Sequence[int]) -> tuple[int, int, int]:
    if len(sizes) < 3 or any(size != 1 for size in sizes[3:]):
        raise InputError(f"`{name}` must be one 3-D volume, got size {tuple(sizes)}. Extract one volume of it first.")
    if min(sizes) < 1:
        raise InputError(f"`{name}` must hold voxels, got size {tuple(sizes)}.")
    check_volume_shape(name, tuple(sizes[:3]))
    return sizes[0], sizes[1], sizes[2]


def _beside(path: Path, named: str, rest: Sequence[str]) -> tuple[Path, ...]:
    """Find the files that a header names, all in its folder or below.

    Raises:
        InputError: They lie elsewhere, or a pattern of names is unusual.
    """
    names = [named]
    if named.upper().split()[:1] == ["LIST"]:
        names = [line.strip() for line in rest if line.strip()]
    elif "%" in named:
        numbered = NUMBERED.fullmatch(named)
        first, last, step = map(int, numbered.groups()[1:]) if numbered else (0, 0, 0)
        if numbered is None or step < 1 or not 0 <= (last - first) // step < MAX_SLICES:
            raise InputError(f"`{path.name}` must name its data files by a pattern such as `slice%03d.raw 1 40 1`.")
        names = [numbered[1] % number for number in range(first, last + 1, step)]
    if not 1 <= len(names) <= MAX_SLICES:
        raise InputError(f"`{path.name}` must name 1 to {MAX_SLICES:,} data files, got {len(names)}.")
    folder = path.parent.resolve()
    try:
        found = tuple(path.parent / name for name in names)
        inside = all(len(os.fsencode(part)) <= MAX_NAME_BYTES for name in names for part in name.split("/"))
        inside = inside and all(file.resolve().is_relative_to(folder) for file in found)
    except (OSError, RuntimeError, ValueError):  # names too long, links in a circle
        inside = False
    if not inside:
        raise InputError(f"`{path.name}` must name data files in its own folder. Put them beside it.")
    return found


def _lines(start: bytes) -> Iterator[tuple[str, int]]:
    """Yield the lines, each with the place where the next begins."""
    at = 0
    while at < len(start):
        end = start.find(b"\n", at)
        end = len(start) if end < 0 else end
        at, line = end + 1, start[at:end]
        yield line.decode("utf-8", errors="replace").rstrip("\r"), at


class _Fields:
    """Names and values of a header; each is checked when it is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[str, str] = {}

    def fault(self, expected: str) -> InputError:
        return InputError(f"`{self.name}` must be an MHA, MHD or NRRD file with {expected}, but is damaged or unusual.")

    def add(self, key: str, value: str) -> None:
        if key in self.values:
            raise self.fault(f"`{key[:40]}` once" if key.replace(" ", "").isalnum() else "each field once")
        self.values[key] = value

    def required(self, key: str) -> str:
        if key not in self.values:
            raise self.fault(f"the field `{key}`")
        return self.values[key]

    def flag(self, key: str) -> bool:
        return self.values.get(key, "False").lower() in ("true", "1", "yes", "t", "y")

    def integer(self, key: str, default: int | None = None) -> int:
        if default is not None and key not in self.values:
            return default
        (number,) = self.integers(key, 1)
        return number

    def integers(self, key: str, count: int) -> list[int]:
        words = self.required(key).split()
        if len(words) != count or not all(re.fullmatch(r"-?[0-9]{1,10}", word) for word in words):
            raise self.fault(f"{count} whole numbers as `{key}`")
        return [int(word) for word in words]

    def numbers(
        self, key: str, count: int, default: Sequence[float] | np.ndarray, *, unknown: float | None = None
    ) -> list[float]:
        if key not in self.values:
            return [float(number) for number in default]
        words = self.values[key].split()
        if len(words) != count:
            raise self.fault(f"{count} numbers as `{key}`")
        return [unknown if unknown is not None and word.lower() == "nan" else self.number(word) for word in words]

    def number(self, word: str) -> float:
        try:
            number = float(word)
        except ValueError:
            number = np.inf
        if not abs(number) < 1e15:
            raise self.fault("finite numbers")
        return number
