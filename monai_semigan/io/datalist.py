# SPDX-License-Identifier: Apache-2.0
"""Data lists: which images are labelled, unlabelled, for validation, for test; as JSON.

.. code-block:: json

    {"schema": "semigan-datalist-1", "root": "../images", "label_values": "binary",
     "labelled": [{"image": "a.png", "label": "a_mask.png", "patient_id": "7"}],
     "unlabelled": [{"image": "b.png", "patient_id": "8"}],
     "validation": [{"image": "c.png", "label": "c_mask.png", "patient_id": "9"}],
     "test": {"other_hospital": [{"image": "d.png", "label": "d_mask.png", "ignore": "d_ignore.png"}]}}

Paths are relative to ``root``, and ``root`` to the file. ``label_values`` is ``classes`` (ids) or ``binary`` (above 0
is class 1).

Further keys of an entry or of the file are ignored here. ``semigan prepare`` writes ``label_rank`` (from 1, per
patient, nested), ``has_organ`` and ``spacing_mm`` of slices, and ``volumes``: ``{"train": [...], "validation": [...],
"test": {"name": [...]}}``, the volumes that slices were cut from, each with ``image``, ``label`` and ``patient_id``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError
from monai_semigan.types import PathLike

__all__ = ["Datalist", "Entry", "load_datalist"]

SCHEMA = "semigan-datalist-1"
NAMED = 3
"""Items named in an error; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a data list; ``ignore`` marks pixels that are left out of a score."""

    image: Path
    label: Path | None = None
    patient_id: str | None = None
    ignore: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Datalist:
    """A checked data list: all files exist, and no patient is on both sides."""

    path: Path
    labelled: tuple[Entry, ...]
    unlabelled: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    test: dict[str, tuple[Entry, ...]]
    is_binary: bool

    def digest(self) -> str:
        """SHA-256 over which file plays which role and over the files' sizes: data that changed gives another one."""
        digest = hashlib.sha256()
        for role, entries in self._roles().items():
            for entry in entries:
                for file in (entry.image, entry.label, entry.ignore):
                    digest.update(f"{role}\0{file.name}\0{file.stat().st_size}\n".encode() if file else b"-\n")
        return digest.hexdigest()

    def _roles(self) -> dict[str, tuple[Entry, ...]]:
        training = {"labelled": self.labelled, "unlabelled": self.unlabelled, "validation": self.validation}
        return training | {f"test:{name}": entries for name, entries in self.test.items()}


def load_datalist(path: PathLike) -> Datalist:
    """Load and check a data list.

    Raises:
        InputError: The file is damaged, names missing files, or has a patient on both sides.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"`{path}` must be a data list: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"`{path}` must be JSON, but is not: {error}.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f'`{path}` must be a data list with "schema": "{SCHEMA}".')
    values = content.get("label_values", "classes")
    if values not in ("classes", "binary"):
        raise InputError(f"`label_values` must be classes or binary, got {values!r}.")
    root = path.parent / content.get("root", ".")
    test = content.get("test", {})
    if not isinstance(test, dict):
        raise InputError(f"`test` in `{path}` must map names to lists, got {type(test).__name__}.")
    data = Datalist(
        path=path,
        labelled=_entries(content, "labelled", root, needs_label=True),
        unlabelled=_entries(content, "unlabelled", root, needs_label=False),
        validation=_entries(content, "validation", root, needs_label=True),
        test={name: _entries(test, name, root, needs_label=True) for name in test},
        is_binary=values == "binary",
    )
    _check_files(data)
    _check_sides(data)
    return data


def _entries(content: dict[str, Any], role: str, root: Path, *, needs_label: bool) -> tuple[Entry, ...]:
    items = content.get(role, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) and "image" in item for item in items):
        raise InputError(f'`{role}` must be a list of objects with an "image".')
    if needs_label and not all(item.get("label") for item in items):
        raise InputError(f'Every entry of `{role}` must have a "label".')

    def place(item: dict[str, Any], key: str) -> Path | None:
        return root / item[key] if item.get(key) else None

    return tuple(
        Entry(
            image=root / item["image"],
            label=place(item, "label"),
            patient_id=str(item["patient_id"]) if item.get("patient_id") is not None else None,
            ignore=place(item, "ignore"),
        )
        for item in items
    )


def _check_files(data: Datalist) -> None:
    files = {
        file
        for entries in data._roles().values()
        for entry in entries
        for file in (entry.image, entry.label, entry.ignore)
        if file is not None
    }
    missing = sorted(str(file) for file in files if not file.is_file())
    if missing:
        raise InputError(f"`{data.path}` must name existing files, missing are {_shorten(missing)}.")


def _check_sides(data: Datalist) -> None:
    """A patient, or an image, that is trained on must not be scored on."""
    trained = data.labelled + data.unlabelled
    scored = data.validation + tuple(entry for entries in data.test.values() for entry in entries)
    patients = _patients(trained) & _patients(scored)
    if patients:
        # Counted, not named: identifiers do not belong into logs.
        raise InputError(
            f"`{data.path}` must have every patient on one side, but {len(patients)} are both in training and in "
            "validation or test. Split by patient_id."
        )
    images = sorted({str(entry.image) for entry in trained} & {str(entry.image) for entry in scored})
    if images:
        raise InputError(
            f"`{data.path}` must score on other images than it trains on, got {_shorten(images)} on both sides."
        )


def _patients(entries: Iterable[Entry]) -> set[str]:
    return {entry.patient_id for entry in entries if entry.patient_id is not None}


def _shorten(items: list[str]) -> str:
    rest = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
