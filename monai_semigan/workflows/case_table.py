# SPDX-License-Identifier: Apache-2.0
"""What a table says of images: their patients, masks, parts of the split and sources."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from monai_semigan.errors import InputError
from monai_semigan.files import escaped, few, read_regular
from monai_semigan.io.image_file import image_stem
from monai_semigan.types import PathLike
from monai_semigan.workflows.mask_pairs import is_at_the_end, plain_path

__all__ = ["CaseTable", "Row", "SplitPart", "read_case_table", "read_csv"]

MAX_BYTES = 1 << 26
"""Of the file: about a million images."""

SplitPart = Literal["train", "validation", "test", "unlabelled"]

COLUMNS = {
    "image": ("image", "path", "case"),
    "patient": ("patient_id", "patient"),
    "mask": ("label", "mask"),
    "split": ("split",),
    "source": ("source",),
}
"""By meaning, the headers that say it; the first that is there counts."""

PARTS: dict[str, SplitPart | None] = {
    "": None,
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "unlabelled": "unlabelled",
    "unlabeled": "unlabelled",
}
"""Words of the column split; empty cells are split by the seed."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the table says of an image; None where a cell is empty.

    Attributes:
        image: Name or path as written.
        patient: Whose it is.
        mask: The file.
        split: Its part.
        source: Where it is from.
    """

    image: str
    patient: str | None = None
    mask: Path | None = None
    split: SplitPart | None = None
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class CaseTable:
    """A table that was read.

    Attributes:
        path: The file.
        rows: One per image.
        columns: Meanings that it has a column for, of `COLUMNS`.
        ignored: Headers that mean nothing here.
    """

    path: Path
    rows: tuple[Row, ...]
    columns: frozenset[str]
    ignored: tuple[str, ...]

    def by_image(self, images: Sequence[Path]) -> dict[Path, Row]:
        """Find the image of each row: by its path from the table, else by its name and last folders.

        Raises:
            InputError: A row fits several images, or an image several rows.
        """
        known = set(images)
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in images:
            by_stem[image_stem(path).casefold()].append(path)
        found: dict[Path, Row] = {}
        for row in self.rows:
            fitting = self._fitting(row, known, by_stem)
            if len(fitting) > 1:
                raise InputError(
                    f"`{self.path.name}` must name images by paths where names come twice, but {escaped(row.image)} is "
                    f"any of {len(fitting)}."
                )
            for image in fitting:
                if image in found:
                    raise InputError(f"`{self.path.name}` must name every image once, got {image.name} twice.")
                found[image] = row
        return found

    def _fitting(self, row: Row, images: set[Path], by_stem: dict[str, list[Path]]) -> list[Path]:
        whole = plain_path(self.path.parent / row.image)
        if whole in images:
            return [whole]
        written = PurePosixPath(row.image.replace("\\", "/"))
        named = by_stem.get(image_stem(Path(written.name)).casefold(), [])
        same = [path for path in named if path.name.casefold() == written.name.casefold()] or named
        return [path for path in same if is_at_the_end(written.parent.parts, path)] or same


def read_case_table(path: PathLike, *, masks: PathLike | None = None) -> CaseTable:
    """Read a CSV file with a header; see `COLUMNS`. Comma, semicolon or tabulator separate its cells.

    Args:
        path: The file.
        masks: Folder that masks may be named relative to, besides that of the file.

    Raises:
        InputError: The file cannot be read, has no column for images, or a cell is not possible.
    """
    path = Path(path)
    lines = read_csv(path)
    headers = [cell.strip() for cell in lines[0]] if lines else []
    known = [header.casefold() for header in headers]
    places = {
        meaning: known.index(next(name for name in names if name in known))
        for meaning, names in COLUMNS.items()
        if set(names) & set(known)
    }
    if "image" not in places:
        raise InputError(f"`{path.name}` must have a column image, path or case, got {few(headers) or 'no header'}.")
    cells = [
        {meaning: line[at].strip() if at < len(line) else "" for meaning, at in places.items()}
        for line in lines[1:]
        if any(cell.strip() for cell in line)
    ]
    folders = [path.parent, *([Path(masks)] if masks is not None and Path(masks).is_dir() else [])]
    rows = tuple(_row(path, found, folders) for found in cells)
    twice = [image for image, times in Counter(row.image for row in rows).items() if times > 1]
    if twice:
        raise InputError(f"`{path.name}` must name every image once, got {few(twice)} twice.")
    shared = [mask.name for mask, times in Counter(row.mask for row in rows).items() if mask is not None and times > 1]
    if shared:
        raise InputError(f"`{path.name}` must give every mask to one image, but gives {few(shared)} to several.")
    ignored = tuple(header for at, header in enumerate(headers) if at not in places.values())
    return CaseTable(path=path, rows=rows, columns=frozenset(places), ignored=ignored)


def read_csv(path: Path) -> list[list[str]]:
    """Read the cells of a CSV file, line by line, whatever separates them.

    Raises:
        InputError: It cannot be read, or is none.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text)))
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"`{escaped(path)}` must be a CSV file in UTF-8, but is none. Save it so.") from None


def _separator(text: str) -> str:
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _row(path: Path, cells: dict[str, str], folders: Iterable[Path]) -> Row:
    image, split, mask = cells["image"], cells.get("split", "").casefold(), cells.get("mask", "")
    if not image:
        raise InputError(f"`{path.name}` must name an image in every row, but a row names none.")
    if split not in PARTS:
        raise InputError(f"`split` in {path.name} must be train, validation, test or unlabelled, got {escaped(split)}.")
    places = [plain_path(folder / mask) for folder in folders] if mask else []
    files = [place for place in places if place.is_file()]
    if places and not files:
        raise InputError(
            f"`{path.name}` must name masks relative to itself or to --masks, but {escaped(mask)} does not exist."
        )
    return Row(
        image=image,
        patient=cells.get("patient") or None,
        mask=files[0] if files else None,
        split=PARTS[split],
        source=cells.get("source") or None,
    )
