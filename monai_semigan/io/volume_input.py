# SPDX-License-Identifier: Apache-2.0
"""Paths to volumes: what files, folders and zips hold, found quickly and read one by one."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.io.dicom_repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom_series import DicomSeries, files_in, find_series
from monai_semigan.io.itk_volume import ITK_SUFFIXES, read_itk
from monai_semigan.io.nifti_volume import NIFTI_SUFFIXES, nifti_stem, read_nifti
from monai_semigan.io.series_rules import SeriesInfo, SeriesRules
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.zip_input import unpack_zip
from monai_semigan.types import PathLike, Progress

__all__ = ["VolumeCandidate", "find_volumes", "safe_name"]

logger = logging.getLogger(__name__)

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)

MAX_NAME_LENGTH = 80

RESERVED_NAMES = frozenset(
    {"CON", "PRN", "AUX", "NUL", *(f"{port}{at}" for port in ("COM", "LPT") for at in range(10))}
)
"""Windows opens devices by these names."""

MAX_REASONS = 5


@dataclass(frozen=True, kw_only=True)
class VolumeCandidate:
    """A volume that has been found but not read.

    Attributes:
        name: Of the case: unique among its like, safe as a folder's name, made of file and folder names and numbers.
        kind: ``nifti``, ``itk`` or ``dicom``.
        path: The file; for a series the folder that all its files lie in.
        files: All files that it is read from; of a series in the order of its slices.
        series: What its headers say; None for files.
    """

    name: str
    kind: str
    path: Path
    files: tuple[Path, ...]
    series: SeriesInfo | None
    read: Callable[[str], SourceVolume]

    def load(self) -> SourceVolume:
        """Read the volume.

        Raises:
            InputError: It is damaged, or not what it should be.
            GeometryError: It is no regular volume.
        """
        return self.read(self.name)


def find_volumes(
    paths: Iterable[PathLike],
    *,
    rules: SeriesRules | None = None,
    repairs: RepairOptions = NO_REPAIRS,
    unpack_to: PathLike | None = None,
    progress: Progress | None = None,
) -> list[VolumeCandidate]:
    """List the volumes among files, folders (with their subfolders) and zips.

    NIfTI, MHA, MHD and NRRD are known by their endings, DICOM by its mark whatever the name. Series that the rules
    leave are logged. Nothing is decoded before `VolumeCandidate.load`.

    Args:
        paths: Files, folders, zips; loose DICOM files belong together.
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular DICOM series.
        unpack_to: Folder for the contents of zips, which must last until results are written; None: no zips.
        progress: Called after each header.

    Raises:
        InputError: A path does not exist, a zip cannot be used, or there is no volume at all, with the reasons.
    """
    found: list[VolumeCandidate] = []
    left: list[SeriesInfo] = []
    for root, base, files in _roots([Path(path) for path in paths], unpack_to):
        is_volume = [file.name.lower().endswith(VOLUME_SUFFIXES) for file in files]
        found += [_file_candidate(file, root) for file, known in zip(files, is_volume, strict=True) if known]
        others = [file for file, known in zip(files, is_volume, strict=True) if not known]
        series = find_series(others, rules, repairs=repairs, progress=progress)
        left += [entry.info for entry in series if not entry.info.is_taken]
        found += _series_candidates([entry for entry in series if entry.info.is_taken], root, base, repairs)
    for info in left:
        logger.info("Series %s was left: %s.", info.short_hash, info.reason)
    if not found:
        reasons = "; ".join(list(dict.fromkeys(info.reason for info in left))[:MAX_REASONS])
        raise InputError(
            "No volume was found: expected DICOM slices or a file ending in "
            + ", ".join(VOLUME_SUFFIXES)
            + (f". {len(left)} DICOM series were left: {reasons}." if left else ".")
        )
    return _uniquely_named(found)


def safe_name(text: str) -> str:
    """Return a name that every file system takes as one folder: letters, digits, ``-``, ``_`` and inner dots."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    kept = kept.strip("._ ")[:MAX_NAME_LENGTH].rstrip("._ ") or "volume"
    return f"{kept}_" if kept.split(".")[0].upper() in RESERVED_NAMES else kept


def _roots(paths: list[Path], unpack_to: PathLike | None) -> Iterable[tuple[Path, str, list[Path]]]:
    """Yield each source of files: its folder, the name for what lies directly in it, and the files."""
    loose: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            yield path, path.resolve().name, files_in(path)
        elif path.suffix.lower() == ".zip":
            files_in(path)  # that it exists
            if unpack_to is None:
                raise InputError(f"`{path.name}` must be unpacked first: no folder for its contents was given.")
            folder = unpack_zip(path, unpack_to)
            yield folder, path.stem, files_in(folder)
        else:
            loose |= dict.fromkeys(files_in(path))
    if loose:
        parents = {path.resolve().parent for path in loose}
        dicom_name = next(iter(loose)).stem if len(loose) == 1 else next(iter(parents)).name
        yield next(iter(loose)).parent, dicom_name, list(loose)


def _file_candidate(file: Path, root: Path) -> VolumeCandidate:
    is_nifti = file.name.lower().endswith(NIFTI_SUFFIXES)
    read = read_nifti if is_nifti else read_itk
    inner = file.parent.relative_to(root).parts if file.is_relative_to(root) else ()
    return VolumeCandidate(
        name=safe_name("_".join((*inner, nifti_stem(file) if is_nifti else file.stem))),
        kind="nifti" if is_nifti else "itk",
        path=file,
        files=(file,),
        series=None,
        read=lambda name: replace(read(file), name=name),
    )


def _series_candidates(
    taken: list[DicomSeries], root: Path, base: str, repairs: RepairOptions
) -> list[VolumeCandidate]:
    from monai_semigan.io.dicom_volume import read_dicom_series  # noqa: PLC0415  (only where there is DICOM)

    places = [_common_folder([frame.path for frame in series.frames]) for series in taken]
    inner = [place.relative_to(root).parts if place.is_relative_to(root) else () for place in places]
    stems = [safe_name("_".join(parts) or base) for parts in inner]
    counts = Counter(stems)
    candidates = []
    for series, stem, place in zip(taken, stems, places, strict=True):
        info = series.info
        number = "" if info.series_number is None else f"_s{info.series_number}"
        name = stem if counts[stem] == 1 else f"{stem}{number}_{info.short_hash[:6]}"

        def read(name: str, series: DicomSeries = series) -> SourceVolume:
            return read_dicom_series(series, name=name, repairs=repairs)

        files = tuple(dict.fromkeys(frame.path for frame in series.frames))  # a multi-frame file counts once
        candidates.append(VolumeCandidate(name=name, kind="dicom", path=place, files=files, series=info, read=read))
    return candidates


def _common_folder(files: list[Path]) -> Path:
    folder = files[0].parent
    while not all(file.is_relative_to(folder) for file in files):
        folder = folder.parent
    return folder


def _uniquely_named(found: list[VolumeCandidate]) -> list[VolumeCandidate]:
    taken: set[str] = set()
    named = []
    for candidate in found:
        name, number = candidate.name, 2
        while name.casefold() in taken:
            name, number = f"{candidate.name}_{number}", number + 1
        taken.add(name.casefold())
        named.append(replace(candidate, name=name))
    return named
