# SPDX-License-Identifier: Apache-2.0
"""Paths to volumes: what files, folders and zips hold, found quickly and read one by one."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from monai_semigan.errors import InputError
from monai_semigan.files import safe_name
from monai_semigan.io.dicom.file import open_dicom
from monai_semigan.io.dicom.identity import Identity, identity_of
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesInfo, SeriesRules
from monai_semigan.io.dicom.series import DicomSeries, find_series
from monai_semigan.io.folder import digest_of_files, files_in
from monai_semigan.io.itk_volume import ITK_SUFFIXES, data_files, itk_size, read_itk
from monai_semigan.io.nifti_volume import NIFTI_SUFFIXES, nifti_size, nifti_stem, read_nifti
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.zip_input import unpack_zip
from monai_semigan.types import PathLike, Progress

__all__ = ["NoVolumeError", "VolumeCandidate", "find_volumes", "iter_volumes", "safe_name"]

logger = logging.getLogger(__name__)

VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)

MAX_REASONS = 5

HELD_DICOM_BYTES = 2**29
"""DICOM files of an input that are held from the search on, so that none is opened again: 1,000 usual CT slices."""

Size = tuple[tuple[int, int, int], int]
"""Shape of a volume and bytes of a voxel as it will be held."""


class NoVolumeError(InputError):
    """There is no volume among the inputs, or the rules leave all of them."""


@dataclass(frozen=True, kw_only=True)
class VolumeCandidate:
    """A volume that has been found but not read.

    Attributes:
        name: Of the case: unique among its like, safe as a folder's name, made of file and folder names and numbers.
        kind: ``nifti``, ``itk`` or ``dicom``.
        path: The file; for a series the folder that all its files lie in.
        files: All files that it is read from; of a series in the order in which they were found.
        dicom: The series as it was found; None for other formats.
        read: Reads it under a name.
        measure: Returns shape and bytes per voxel from the headers; None where they do not say it.
    """

    name: str
    kind: str
    path: Path
    files: tuple[Path, ...]
    dicom: DicomSeries | None
    read: Callable[[str], SourceVolume]
    measure: Callable[[], Size | None]

    @property
    def series(self) -> SeriesInfo | None:
        """What the headers of a DICOM series say; None for files."""
        return None if self.dicom is None else self.dicom.info

    def size(self) -> Size | None:
        """Return the shape and the bytes of a voxel as it will be held, without reading voxels; None if unknown.

        DICOM counts as 2 bytes, which few series exceed.
        """
        return self.measure()

    def digest(self) -> str:
        """Compute the SHA-256 of the files' contents, in order, and of which stack of theirs it is.

        The contents of DICOM files are held until the volume is read.

        Raises:
            InputError: One cannot be read.
        """
        if self.dicom is None:
            return digest_of_files(self.files)
        digest = hashlib.sha256()
        for file in self.dicom.files:
            digest.update(file.content())
        if self.dicom.info.part[1] > 1:
            digest.update(f"part {self.dicom.info.part}".encode())
        return digest.hexdigest()

    def identity(self) -> Identity | None:
        """Return what the DICOM header says of the patient; None for other formats."""
        return None if self.dicom is None else identity_of(self.dicom.files[0].header)

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

    NIfTI, MHA, MHD, NRRD and NHDR are known by their endings, DICOM by its mark whatever the name. Series that the
    rules leave are logged. Nothing is decoded before `VolumeCandidate.load`.

    Args:
        paths: Files, folders, zips; loose DICOM files belong together.
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular DICOM series.
        unpack_to: Folder for the contents of zips, which must last until results are written; None: no zips.
        progress: Called after each header.

    Raises:
        NoVolumeError: There is no volume at all, with the reasons.
        InputError: A path does not exist, or a zip cannot be used.
    """
    search = _Search(rules, repairs, unpack_to, None, room=0, progress=progress)
    return list(search.volumes(paths, on_failure=None, keep_unpacked=True))


def iter_volumes(
    paths: Iterable[PathLike],
    *,
    on_failure: Callable[[str, Exception], None],
    unpack_to: PathLike,
    rules: SeriesRules | None = None,
    repairs: RepairOptions = NO_REPAIRS,
    skip: PathLike | None = None,
    progress: Progress | None = None,
) -> Iterator[VolumeCandidate]:
    """Find volumes as `find_volumes` does, one input after the other, and go on where one cannot be used.

    A zip is unpacked when its turn comes; its files are removed when the volume after its last is asked for.

    Args:
        paths: As for `find_volumes`, with the options that follow.
        on_failure: Called with an input's name and the reason why nothing of it is used.
        unpack_to: Folder for the contents of zips, of one at a time.
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular DICOM series.
        skip: A folder inside the inputs that is left out, such as that of the results.
        progress: Called after each header.

    Raises:
        NoVolumeError: There is no volume at all and no other failure, with the reasons.
        InputError: A path does not exist.
        OutputError: A zip does not fit onto the disk.
    """
    left_out = None if skip is None else Path(skip)
    search = _Search(rules, repairs, unpack_to, left_out, room=HELD_DICOM_BYTES, progress=progress)
    yield from search.volumes(paths, on_failure=on_failure, keep_unpacked=False)


@dataclass(frozen=True)
class _Root:
    """A source of files: its path or, of loose files, their folder; what lies directly in it is called ``base``."""

    path: Path
    base: str
    loose: tuple[Path, ...] = ()

    @property
    def is_zip(self) -> bool:
        return not self.loose and self.path.suffix.lower() == ".zip" and not self.path.is_dir()


class _Search:
    """The options of a search, the names that it has given, and what it found nothing in."""

    def __init__(
        self,
        rules: SeriesRules | None,
        repairs: RepairOptions,
        unpack_to: PathLike | None,
        skip: Path | None,
        *,
        room: int,
        progress: Progress | None,
    ) -> None:
        self.rules, self.repairs, self.unpack_to, self.skip = rules, repairs, unpack_to, skip
        self.room, self.progress = room, progress
        self.taken: set[str] = set()
        self.barren: list[tuple[str, list[SeriesInfo]]] = []
        self.has_result = False

    def volumes(
        self,
        paths: Iterable[PathLike],
        *,
        on_failure: Callable[[str, Exception], None] | None,
        keep_unpacked: bool,
    ) -> Iterator[VolumeCandidate]:
        for root in _roots([Path(path) for path in paths]):
            folder, found = self._searched(root, on_failure)
            for candidate in found:
                yield self._uniquely_named(candidate)
                if candidate.dicom is not None and not keep_unpacked:  # one that was skipped still holds its bytes
                    candidate.dicom.release()
            if root.is_zip and folder is not None and not keep_unpacked:
                shutil.rmtree(folder, ignore_errors=True)
        if not self.has_result:
            raise _nothing(None, [info for _, left in self.barren for info in left])
        if on_failure is not None:
            for name, left in self.barren:
                on_failure(name, _nothing(name, left))

    def _searched(
        self, root: _Root, on_failure: Callable[[str, Exception], None] | None
    ) -> tuple[Path | None, list[VolumeCandidate]]:
        """Return where the root's files are and its volumes; note what is not used and why."""
        try:
            folder, files = self._files(root)
            found, left = self._candidates(root, folder, files)
        except InputError as error:
            if on_failure is None:
                raise
            on_failure(root.path.name, error)
            self.has_result = True
            return None, []
        if not found:
            self.barren.append((root.base if root.loose else root.path.name, left))
        self.has_result = self.has_result or bool(found)
        if on_failure is not None:
            inside = [file for file in files if file.suffix.lower() == ".zip"]
            for file in inside:
                reason = InputError(f"`{file.name}` must be named itself to be unpacked: it lies in a folder.")
                on_failure(file.name, reason)
            self.has_result = self.has_result or bool(inside)
            for file, reason in _foreign(root, found) if found else ():
                on_failure(file.name, reason)
        return folder, found

    def _files(self, root: _Root) -> tuple[Path, list[Path]]:
        """Return the folder and the files in it; of a zip, where it was unpacked."""
        if root.loose:
            return root.path, list(root.loose)
        if not root.is_zip:
            return root.path, files_in(root.path, skip=self.skip)
        if self.unpack_to is None:
            raise InputError(f"`{root.path.name}` must be unpacked first: no folder for its contents was given.")
        folder = unpack_zip(root.path, self.unpack_to)
        return folder, files_in(folder)

    def _candidates(
        self, root: _Root, folder: Path, files: list[Path]
    ) -> tuple[list[VolumeCandidate], list[SeriesInfo]]:
        is_volume = [_is_volume_file(file) for file in files]
        found = [_file_candidate(file, folder) for file, known in zip(files, is_volume, strict=True) if known]
        others = [file for file, known in zip(files, is_volume, strict=True) if not known]
        series = find_series(others, self.rules, repairs=self.repairs, room=self.room, progress=self.progress)
        left = [entry.info for entry in series if not entry.info.is_taken]
        for info in left:
            logger.info("Series %s was left: %s.", info.short_hash, info.reason)
        taken = [entry for entry in series if entry.info.is_taken]
        return found + _series_candidates(taken, folder, root.base), left

    def _uniquely_named(self, candidate: VolumeCandidate) -> VolumeCandidate:
        name, number = candidate.name, 2
        while name.casefold() in self.taken:
            name, number = f"{candidate.name}_{number}", number + 1
        self.taken.add(name.casefold())
        return replace(candidate, name=name)


def _roots(paths: list[Path]) -> list[_Root]:
    """Sort the inputs: folders and zips by themselves, loose files of one folder together at the end.

    Raises:
        InputError: One does not exist.
    """
    roots: list[_Root] = []
    loose: dict[Path, dict[Path, None]] = {}  # by folder: a name must not come from another patient's folder
    for path in paths:
        if path.is_dir():
            roots.append(_Root(path, path.resolve().name))
        elif path.suffix.lower() == ".zip":
            files_in(path)  # that it exists
            roots.append(_Root(path, path.stem))
        else:
            loose.setdefault(path.parent, {}).update(dict.fromkeys(files_in(path)))
    for folder, files in loose.items():
        base = next(iter(files)).stem if len(files) == 1 else folder.resolve().name
        roots.append(_Root(folder, base, tuple(files)))
    return roots


def _foreign(root: _Root, found: list[VolumeCandidate]) -> Iterator[tuple[Path, InputError]]:
    """Files that were named one by one, and are no volumes nor parts of some; why not."""
    used = {file for candidate in found for file in candidate.files}
    for file in root.loose:
        if file in used or _is_volume_file(file):
            continue
        try:
            is_foreign = open_dicom(file) is None
        except InputError as error:
            yield file, error
        else:
            if is_foreign:
                yield file, InputError(f"`{file.name}` must be a volume: {_expected()}.")


def _is_volume_file(file: Path) -> bool:
    return file.name.lower().endswith(VOLUME_SUFFIXES)


def _expected() -> str:
    return "expected DICOM slices or a file ending in " + ", ".join(VOLUME_SUFFIXES)


def _nothing(name: str | None, left: list[SeriesInfo]) -> NoVolumeError:
    reasons = "; ".join(list(dict.fromkeys(info.reason for info in left))[:MAX_REASONS])
    return NoVolumeError(
        f"No volume was found{f' in `{name}`' if name else ''}: {_expected()}."
        + (f" {len(left)} DICOM series were left: {reasons}." if left else "")
    )


def _file_candidate(file: Path, root: Path) -> VolumeCandidate:
    is_nifti = file.name.lower().endswith(NIFTI_SUFFIXES)
    read = read_nifti if is_nifti else read_itk
    inner = file.parent.relative_to(root).parts if file.is_relative_to(root) else ()

    def load(name: str) -> SourceVolume:
        return replace(read(file), name=name)

    return VolumeCandidate(
        name=safe_name("_".join((*inner, nifti_stem(file) if is_nifti else file.stem))),
        kind="nifti" if is_nifti else "itk",
        path=file,
        files=(file,) if is_nifti else (file, *_existing(file)),
        dicom=None,
        read=load,
        measure=lambda: (nifti_size if is_nifti else itk_size)(file),
    )


def _existing(header: Path) -> tuple[Path, ...]:
    """The data files of a header, as far as they are there; reading it says what is wrong with it."""
    try:
        return tuple(file for file in data_files(header) if file.is_file())
    except InputError:
        return ()


def _series_candidates(taken: list[DicomSeries], root: Path, base: str) -> list[VolumeCandidate]:
    from monai_semigan.io.dicom.pixels import read_dicom_series  # noqa: PLC0415  (only where there is DICOM)

    places = [_common_folder([file.path for file in series.files]) for series in taken]
    inner = [place.relative_to(root).parts if place.is_relative_to(root) else () for place in places]
    stems = [safe_name("_".join(parts) or base) for parts in inner]
    counts = Counter(stems)
    candidates = []
    for series, stem, place in zip(taken, stems, places, strict=True):
        info = series.info
        number = "" if info.series_number is None else f"_s{info.series_number}"
        name = stem if counts[stem] == 1 else f"{stem}{number}_{info.short_hash[:6]}"

        def read(name: str, series: DicomSeries = series) -> SourceVolume:
            return read_dicom_series(series, name=name)

        def measure(series: DicomSeries = series) -> Size | None:
            return None if series.plan is None else (series.plan.grid.shape, 2)

        files = tuple(file.path for file in series.files)
        candidates.append(
            VolumeCandidate(name=name, kind="dicom", path=place, files=files, dicom=series, read=read, measure=measure)
        )
    return candidates


def _common_folder(files: list[Path]) -> Path:
    folder = files[0].parent
    while not all(file.is_relative_to(folder) for file in files):
        folder = folder.parent
    return folder
