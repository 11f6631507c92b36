# SPDX-License-Identifier: Apache-2.0
"""Read damaged files of every format in a child process: a result or an error of this package, nothing else.

    python -P tests/fuzz/mutate.py --count 20000            # all; prints what failed, with its number
    python -P tests/fuzz/mutate.py --first 4711 --count 1   # one again

A file is a pure function of its number: the number chooses format, kind of damage and random state.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK
from PIL import Image

from monai_semigan.errors import GeometryError, InputError, OutputError

LIMIT_S = 10
LIMIT_BYTES = 2**30
"""Above what the process holds before the first file."""

GREY = np.add.outer(np.arange(20) * 9, np.arange(30) * 2).astype(np.uint8)
VOLUME = ((np.arange(4 * 6 * 5) * 7) % 200 - 100).reshape(4, 6, 5).astype(np.int16)
LABEL = (np.arange(600) % 3).reshape(20, 30).astype(np.uint8)

EVIL = [
    b"0", b"-1", b"1e308", b"1e-320", b"nan", b"inf", b"999999999", b"-999999999", b"9" * 400, b"", b"/etc/passwd",
    b"../x", b"LOCAL", b"LIST", b"%d.raw 1 99999999 1", b"%100000000d.raw 1 3 1", b"%s%n", b"x\0y", b"True", b"False",
    b"1 0 0 0 1 0 0 0 1", b"0 0 0 0 0 0 0 0 0", b"\xff\xfe", b"a" * 5000,
]  # fmt: skip

Files = dict[str, bytes]
"""Contents by name; the first is the one that is read."""


def seeds(folder: Path) -> dict[str, tuple[str, Files]]:
    """Build one small valid file of each format: ``{name: (reader, files)}``."""
    found: dict[str, tuple[str, Files]] = {}

    def picture(name: str, image: Image.Image, reader: str = "image", **options: Any) -> None:
        stream = BytesIO()
        image.save(
            stream, format={"tif": "TIFF", "jpg": "JPEG", "png": "PNG"}[name.rsplit(".", maxsplit=1)[-1]], **options
        )
        found[name] = (reader, {name: stream.getvalue()})

    color = Image.fromarray(np.dstack([GREY, GREY[::-1], GREY[:, ::-1]]))
    exif = Image.Exif()
    exif[274] = 6
    picture("grey.png", Image.fromarray(GREY))
    picture("color.png", color, exif=exif)
    picture("deep.png", Image.fromarray(GREY.astype(np.uint16) * 100))
    picture("color.jpg", color, exif=exif)
    picture("grey.jpg", Image.fromarray(GREY), progressive=True)
    picture("grey.tif", Image.fromarray(GREY))
    picture("deep.tif", Image.fromarray(GREY.astype(np.uint16) * 100))
    picture("color.tif", color, compression="tiff_deflate", tiffinfo={274: 6})
    picture("float.tif", Image.fromarray(GREY.astype(np.float32)))
    picture("label.png", Image.fromarray(LABEL), "label")
    picture("label.tif", Image.fromarray(LABEL.astype(np.float32)), "label")
    palette = Image.fromarray(LABEL)
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture("palette.png", palette, "label")
    affine = np.diag([-0.8, 0.7, 2.5, 1.0])
    for name, values in {"v.nii": VOLUME, "v.nii.gz": VOLUME.astype(np.float32), "l.nii.gz": VOLUME % 3}.items():
        nib.save(nib.Nifti1Image(values, affine), folder / name)
    nib.save(nib.Nifti2Image(VOLUME, affine), folder / "w.nii")
    itk = SimpleITK.GetImageFromArray(VOLUME)
    for name in ("v.mha", "v.nrrd", "v.mhd", "v.nhdr", "c.mha", "c.nrrd", "l.mha"):
        SimpleITK.WriteImage(itk if name[0] != "l" else itk > 0, str(folder / name), name[0] == "c")
    for name in ("v.nii", "v.nii.gz", "w.nii", "v.mha", "v.nrrd", "c.mha", "c.nrrd"):
        found[name] = ("volume", {name: (folder / name).read_bytes()})
    for name in ("l.nii.gz", "l.mha"):
        found[name] = ("label_volume", {name: (folder / name).read_bytes()})
    for name in ("v.mhd", "v.nhdr"):
        data = next(path for path in folder.iterdir() if path.stem == "v" and ".raw" in path.suffixes)
        found[name] = ("volume", {name: (folder / name).read_bytes(), data.name: data.read_bytes()})
    found["cr.dcm"] = ("image", {"cr.dcm": dicom(1)})
    found["multi.dcm"] = ("volume", {"multi.dcm": dicom(4)})
    slices = {f"{at}.dcm": dicom(1, at) for at in range(4)}
    found["series.zip"] = ("volume", {"series.zip": packed(slices)})
    found["nifti.zip"] = ("volume", {"nifti.zip": packed({"a/v.nii": found["v.nii"][1]["v.nii"]})})
    return found


def packed(files: Files) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def dicom(frames: int, at: int | None = None) -> bytes:
    """Build a DICOM X-ray, a CT slice (with a place), or a multi-frame CT."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    is_slice = at is not None
    kind = "1.2.840.10008.5.1.4.1.1." + ("2" if is_slice else "2.1" if frames > 1 else "1")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = kind
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"1.2.3.4.{at or 0}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.FrameOfReferenceUID = "1.2.3.5"
    dataset.Modality = "CT" if is_slice or frames > 1 else "CR"
    dataset.Rows, dataset.Columns = GREY.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelSpacing = ["0.7", "0.7"]
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-100"
    dataset.WindowCenter, dataset.WindowWidth = "100", "200"
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = ["0", "0", str(2.5 * (at or 0))]
    dataset.InstanceNumber = str((at or 0) + 1)
    if frames > 1:
        dataset.NumberOfFrames = str(frames)
        dataset.PerFrameFunctionalGroupsSequence = [_frame(2.5 * frame) for frame in range(frames)]
    dataset.PixelData = (GREY.astype(np.int16) + (at or 0)).tobytes() * frames
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _frame(z: float) -> pydicom.Dataset:
    """Build the functional groups of one frame."""
    groups, place, orientation, measures, values = (pydicom.Dataset() for _ in range(5))
    place.ImagePositionPatient = ["0", "0", str(z)]
    orientation.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    measures.PixelSpacing, measures.SliceThickness = ["0.7", "0.7"], "2.5"
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "1", "-100", "HU"
    groups.PlanePositionSequence, groups.PlaneOrientationSequence = [place], [orientation]
    groups.PixelMeasuresSequence, groups.PixelValueTransformationSequence = [measures], [values]
    return groups


def damaged(content: bytes, chance: random.Random, other: bytes) -> bytes:
    """Return the content with one to four kinds of damage."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(DAMAGES)(content or b"x", chance, other)
    return content


def _flip_bits(content: bytes, chance: random.Random, other: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        changed[_place(changed, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _truncate(content: bytes, chance: random.Random, other: bytes) -> bytes:
    return content[: _place(content, chance)]


def _edit_line(content: bytes, chance: random.Random, other: bytes) -> bytes:
    """Replace a field of a text header, or repeat or drop it."""
    lines = content[:2000].split(b"\n")
    at = chance.randrange(len(lines))
    mark = next((mark for mark in (b"=", b":") if mark in lines[at]), None)
    action = chance.randrange(4)
    if action == 0:
        del lines[at]
    elif action == 1:
        lines.insert(chance.randrange(len(lines) + 1), lines[at])
    elif mark is not None:
        words = lines[at].split(mark, 1)
        parts = words[1].split(b" ")
        parts[chance.randrange(len(parts))] = chance.choice(EVIL)
        lines[at] = words[0] + mark + (b" ".join(parts) if action == 2 else b" " + chance.choice(EVIL))
    return b"\n".join(lines) + content[2000:]


def _edit_number(content: bytes, chance: random.Random, other: bytes) -> bytes:
    """Write an extreme number over some bytes, mostly of the header."""
    width = chance.choice((1, 2, 4, 8))
    most = 2 ** (8 * width)
    number = chance.choice((0, 1, most - 1, most // 2, most // 2 - 1, chance.randrange(most), 0x7F80 << 16 & most - 1))
    at = _place(content, chance)
    return content[:at] + (number % most).to_bytes(width, chance.choice(("little", "big"))) + content[at + width :]


def _splice(content: bytes, chance: random.Random, other: bytes) -> bytes:
    first, start = _place(content, chance), chance.randrange(max(1, len(other)))
    return content[:first] + other[start : start + chance.choice((4, 64, 4096))] + content[first:]


def _insert(content: bytes, chance: random.Random, other: bytes) -> bytes:
    at = _place(content, chance)
    return content[:at] + chance.choice(EVIL) + content[at + chance.choice((0, 4)) :]


def _remove(content: bytes, chance: random.Random, other: bytes) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.choice((1, 2, 16, 256)) :]


def _inside_gzip(content: bytes, chance: random.Random, other: bytes) -> bytes:
    """Damage what is inside of a compressed file and pack it rightly; pack or unpack others."""
    if content[:2] != b"\x1f\x8b":
        return gzip.compress(content, 1, mtime=0) if chance.random() < 0.1 else _flip_bits(content, chance, other)
    try:
        inner = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return content
    return gzip.compress(_edit_number(inner, chance, other), 1, mtime=0) if chance.random() < 0.9 else inner


DAMAGES: tuple[Callable[[bytes, random.Random, bytes], bytes], ...] = (
    _flip_bits, _truncate, _edit_line, _edit_number, _splice, _insert, _remove, _inside_gzip,
)  # fmt: skip


def _place(content: bytes | bytearray, chance: random.Random) -> int:
    return chance.randrange(max(1, min(len(content), chance.choice((64, 400, 1000, len(content))))))


def mutant(number: int, known: dict[str, tuple[str, Files]]) -> tuple[str, str, Files]:
    """Return format, reader and files of a number."""
    chance = random.Random(number)
    names = sorted(known)
    name = names[number % len(names)]
    reader, files = known[name]
    other = next(iter(known[chance.choice(names)][1].values()))
    if name.endswith(".zip") and chance.random() < 0.5:  # what is inside, packed rightly
        with zipfile.ZipFile(BytesIO(files[name])) as archive:
            inner = {entry: archive.read(entry) for entry in archive.namelist()}
        chosen = chance.choice(sorted(inner))
        return name, reader, {name: packed(inner | {chosen: damaged(inner[chosen], chance, other)})}
    chosen = name if chance.random() < 0.8 else chance.choice(sorted(files))
    return name, reader, files | {chosen: damaged(files[chosen], chance, other)}


def read(reader: str, path: Path, temporary: Path) -> None:
    """Read a file as its reader does."""
    from monai_semigan.io.image_file import read_image
    from monai_semigan.io.label_file import read_label
    from monai_semigan.io.label_volume import read_label_volume
    from monai_semigan.io.volume_input import find_volumes

    if reader == "volume":
        for candidate in find_volumes([path], unpack_to=temporary):
            candidate.size()
            candidate.digest()
            candidate.load()
    else:
        {"image": read_image, "label": read_label, "label_volume": read_label_volume}[reader](path)


def _child(numbers: range, report: Any, folder: str) -> None:
    """Read one mutant after the other; say before each which it is, and after each how it went."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(dir=folder) as seeded:
        known = seeds(Path(seeded))
    for reader, files in known.values():  # imports and first use count as base
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _store(files, Path(place))
            read(reader, Path(place) / next(iter(files)), Path(place))
    base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (base + LIMIT_BYTES, base + LIMIT_BYTES))
    for number in numbers:
        report.send((number, "start"))
        name, reader, files = mutant(number, known)
        outcome = "read"
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _store(files, Path(place))
            signal.alarm(LIMIT_S)
            try:
                read(reader, Path(place) / next(iter(files)), Path(place))
            except (InputError, GeometryError, OutputError) as error:
                outcome = "refused" if "\n" not in str(error) else f"{name}: several lines: {error}"
            except BaseException as error:  # what the harness is for
                outcome = f"{name}: {type(error).__name__}: {str(error)[:200]} at {_where(error)}"
            signal.alarm(0)
        report.send((number, outcome))
    report.send((-1, "end"))


def _where(error: BaseException) -> str:
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-6:])


def _store(files: Files, folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def outcomes(first: int, count: int, folder: str) -> Iterator[tuple[int, str]]:
    """Yield number and outcome of each mutant; a child that dies or hangs is that number's outcome."""
    start, context = first, multiprocessing.get_context("spawn")
    while start < first + count:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(range(start, first + count), sender, folder))
        child.start()
        sender.close()
        current = start - 1
        try:
            while receiver.poll(120 if current < start else LIMIT_S * 2):
                current, outcome = receiver.recv()
                if current < 0:
                    break
                if outcome != "start":
                    yield current, outcome
                    start = current + 1
            else:
                yield start, f"did not return within {LIMIT_S * 2} s"
                start += 1
        except EOFError:
            child.join()
            yield start, f"the process ended with {child.exitcode}"
            start += 1
        child.kill()
        child.join()
        if current < 0:
            return


def main() -> int:
    """Run the mutants of the command line; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, outcome in outcomes(options.first, options.count, folder):
            kind = outcome if outcome in ("read", "refused") else "failed"
            counts[kind] = counts.get(kind, 0) + 1
            if kind == "failed":
                sys.stdout.write(f"{number} {outcome}\n")
                sys.stdout.flush()
    sys.stdout.write(json.dumps(counts) + "\n")
    return int("failed" in counts)


if __name__ == "__main__":
    sys.exit(main())
