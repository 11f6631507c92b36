# SPDX-License-Identifier: Apache-2.0
"""From what a user names to units of work: folders, files, patterns of names, or one table of cases."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_semigan.cohort.naming import RESERVED_CASES
from monai_semigan.cohort.rows import Unit
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import few, safe_name
from monai_semigan.io.dicom.repair import RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.image_file import find_images, image_stem
from monai_semigan.io.volume_input import VolumeCandidate, iter_volumes
from monai_semigan.workflows.case_table import read_csv

__all__ = ["Found", "find_units", "part_of", "read_table", "volume_of"]

COLUMNS = ("case", "path", "patient", "reference")

HASH_DIGITS = 16

Failed = Callable[[str, Exception], None]
"""Called with an input's name and why nothing of it is used."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What inputs came to.

    Attributes:
        units: One per image or study.
        is_table: A table says what they are called, so that names must not be changed.
    """

    units: tuple[Unit, ...]
    is_table: bool = False


def find_units(
    inputs: Iterable[Path],
    *,
    takes_volumes: bool,
    skip: Path,
    rules: SeriesRules,
    repairs: RepairOptions,
    unpack_to: Path,
    on_failure: Failed,
) -> Found:
    """Find the units of work among inputs; what is in them is not read, but for DICOM headers.

    Args:
        inputs: Files, folders, patterns such as ``study/*/ct.nii.gz``; or one CSV file, see `read_table`.
        takes_volumes: The bundle segments volumes, not images.
        skip: A folder inside the inputs that is left out: that of the results.
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular series.
        unpack_to: Folder for the contents of zips, of one at a time.
        on_failure: Told of an input that holds nothing that can be used.

    Raises:
        InputError: An input does not exist, or there is nothing to segment; the table is wrong.
        ConfigError: There is a table and something else.
    """
    paths = [path for item in inputs for path in _expanded(item)]
    tables = [path for path in paths if path.suffix.lower() == ".csv" and path.is_file()]
    if tables and len(paths) > 1:
        raise ConfigError(f"`inputs` must be one table or folders and files, got {tables[0].name} with others.")
    if tables:
        return Found(units=tuple(read_table(tables[0])), is_table=True)
    if not takes_volumes:
        images = find_images([path for path in paths if path.suffix.lower() != ".csv"], skip=skip)
        return Found(units=tuple(Unit(case=safe_name(image_stem(path)), path=_absolute(path)) for path in images))
    zips = [path for path in paths if path.suffix.lower() == ".zip" and not path.is_dir()]
    others = [path for path in paths if path not in zips]
    units: list[Unit] = []
    search = {"on_failure": on_failure, "unpack_to": unpack_to, "rules": rules, "repairs": repairs, "skip": skip}
    for group in [[path] for path in zips] + ([others] if others else []):
        packed = group[0] if group[0] in zips else None
        try:
            units += [_volume_unit(found, packed) for found in iter_volumes(group, **search)]  # type: ignore[arg-type]
        except InputError as error:
            if not zips:
                raise
            on_failure(group[0].name, error)
    if not units:
        raise InputError("`inputs` must hold a volume, but none was found. See `semigan series` for DICOM.")
    return Found(units=tuple(units))


def read_table(path: Path) -> list[Unit]:
    """Read a table with the columns case and path, and if wanted patient, reference and columns to group cases by.

    Names of columns count whatever their case; paths are relative to the table. A case's name becomes one that every
    file system takes.

    Raises:
        InputError: A column or a cell is missing, or a name comes twice.
    """
    lines = read_csv(path)
    headers = [cell.strip().casefold() for cell in lines[0]] if lines else []
    if not {"case", "path"} <= set(headers):
        raise InputError(f"`{path.name}` must have the columns case and path, got {few(headers) or 'no header'}.")
    twice = sorted({header for header in headers if headers.count(header) > 1})
    if twice:
        raise InputError(f"`{path.name}` must name every column once, got {few(twice)} twice.")
    groups = [header for header in headers if header and header not in COLUMNS]
    if "status" in groups:
        raise InputError(f"`{path.name}` must have no column status: it says how far a case is. Rename it.")
    rows = _cells(path.name, headers, lines[1:])
    units = [_row_unit(path.parent, cells, groups) for _, cells in rows]
    seen: set[str | Path] = set()
    for (number, _), unit in zip(rows, units, strict=True):
        name = unit.case.casefold()
        if name in RESERVED_CASES:
            raise InputError(f"`case` must not be {unit.case}, which is a name of results, in row {number}. Rename it.")
        if name in seen:
            raise InputError(f"`{path.name}` must name every case once, got {unit.case} twice (row {number}).")
        if unit.path in seen:
            raise InputError(f"`{path.name}` must name every path once, but that of row {number} comes twice.")
        seen |= {name, unit.path}
    if not units:
        raise InputError(f"`{path.name}` must name at least one case, but has a header alone.")
    return units


def _cells(name: str, headers: Sequence[str], lines: Iterable[Sequence[str]]) -> list[tuple[int, dict[str, str]]]:
    """Number the rows that are not empty, and name their cells."""
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = dict(zip(headers, (cell.strip() for cell in line), strict=False))
        if any(cells.values()):
            if not cells.get("case") or not cells.get("path"):
                raise InputError(f"`{name}` must give every row a case and a path, but row {number} has not both.")
            rows.append((number, cells))
    return rows


def volume_of(unit: Unit, found: Sequence[VolumeCandidate]) -> VolumeCandidate:
    """Choose a unit's volume, unread, among those of its path.

    Raises:
        InputError: It is gone, or the unit's path holds several.
    """
    chosen = [candidate for candidate in found if not unit.part or part_of(candidate) == unit.part]
    if len(chosen) != 1:
        raise InputError(
            f"`{unit.case}` must be one volume, but its path holds {len(chosen) or 'it no more'}. Name the file or "
            "folder of one, or choose by --description, --min-slices or --plane."
        )
    return replace(chosen[0], name=unit.source or chosen[0].name)


def part_of(candidate: VolumeCandidate) -> str:
    """Tell a volume from the others of its path, and its patient from nobody."""
    series = candidate.series
    if series is None:
        return hashlib.sha256(candidate.name.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
    known = f"{series.series_uid} {series.part}"
    return hashlib.sha256(known.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]


def _volume_unit(candidate: VolumeCandidate, packed: Path | None) -> Unit:
    is_file = packed is None and candidate.dicom is None
    return Unit(
        case=candidate.name,
        path=_absolute(packed or candidate.path),
        part="" if is_file else part_of(candidate),
        source=candidate.name,
    )


def _row_unit(folder: Path, cells: Mapping[str, str], groups: Iterable[str]) -> Unit:
    reference = cells.get("reference")
    return Unit(
        case=safe_name(cells["case"]),
        path=_absolute(folder / cells["path"]),
        patient=cells.get("patient", ""),
        reference=_absolute(folder / reference) if reference else None,
        groups={name: cells.get(name, "") for name in groups},
    )


def _expanded(path: Path) -> list[Path]:
    """What a pattern fits; a path that exists is itself, whatever letters are in it."""
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207  (absolute patterns)
    if not found:
        raise InputError(f"`{path}` must fit files or folders, but fits none.")
    return found


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (links stay as they are)
