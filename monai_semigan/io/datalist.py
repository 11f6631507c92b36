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

An unknown key is refused: "labeled" would otherwise be a list without labels. What `semigan prepare` writes beside
these is known: see `Entry` and `DatalistFile`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from monai_semigan.errors import InputError
from monai_semigan.files import escaped, few, read_json
from monai_semigan.settings import Range, read_settings
from monai_semigan.types import PathLike

__all__ = ["Datalist", "DatalistFile", "Entry", "VolumeLists", "load_datalist", "owners"]

logger = logging.getLogger(__name__)

SCHEMA = "semigan-datalist-1"

MAX_BYTES = 1 << 27
"""Of the file: some hundred thousand images."""

Distance = Annotated[float, Range(0, 1e4, exclusive="low")]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image or volume of a data list.

    Attributes:
        image: The file.
        label: Its label.
        patient_id: Whose it is: text or a number.
        ignore: Marks pixels that are left out of a score.
        label_rank: From 1, per patient: of a list with fewer labels, those of the lowest ranks have theirs.
        has_organ: Whether the label of a slice is not empty.
        spacing_mm: Distance of a slice's pixels, row and column.
    """

    image: Path
    label: Path | None = None
    patient_id: str | int | None = None
    ignore: Path | None = None
    label_rank: Annotated[int, Range(1)] | None = None
    has_organ: bool | None = None
    spacing_mm: tuple[Distance, Distance] | None = None


@dataclass(frozen=True, kw_only=True)
class VolumeLists:
    """The volumes that slices were cut from.

    Attributes:
        train: Of the labelled and unlabelled slices.
        validation: Of those for validation.
        test: Of those for test, by the test's name.
    """

    train: tuple[Entry, ...] = ()
    validation: tuple[Entry, ...] = ()
    test: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatalistFile:
    """What the JSON of a data list holds.

    Attributes:
        schema: Version of this description.
        labelled: Images whose labels are trained on.
        unlabelled: Images that are trained on alone.
        validation: Images that choose a checkpoint and the limits.
        test: Images for a score, by the test's name.
        label_values: ``classes`` (ids) or ``binary`` (above 0 is class 1).
        root: What paths are relative to, itself relative to the file.
        volumes: Those that slices were cut from.
        prepared_from: Data set that `semigan prepare` made the list from.
        seed: Of its split.
        class_names: Background first.
    """

    schema: Literal["semigan-datalist-1"]
    labelled: tuple[Entry, ...] = ()
    unlabelled: tuple[Entry, ...] = ()
    validation: tuple[Entry, ...] = ()
    test: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    label_values: Literal["classes", "binary"] = "classes"
    root: Path = Path()
    volumes: VolumeLists | None = None
    prepared_from: str | None = None
    seed: int | None = None
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Datalist:
    """A checked data list: all files exist, and no patient is on both sides."""

    path: Path
    labelled: tuple[Entry, ...]
    unlabelled: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    test: dict[str, tuple[Entry, ...]]
    is_binary: bool
    class_names: tuple[str, ...] | None = None

    def digest(self, roles: Collection[str] | None = None) -> str:
        """SHA-256 over which file plays which role and over the files' sizes: data that changed gives another one.

        Args:
            roles: What counts: ``labelled``, ``unlabelled``, ``validation``, ``test:NAME``; None for everything.
        """
        digest = hashlib.sha256()
        for role, entries in self._roles().items():
            for entry in entries if roles is None or role in roles else ():
                for file in (entry.image, entry.label, entry.ignore):
                    digest.update(f"{role}\0{file.name}\0{file.stat().st_size}\n".encode() if file else b"-\n")
        return digest.hexdigest()

    def _roles(self) -> dict[str, tuple[Entry, ...]]:
        training = {"labelled": self.labelled, "unlabelled": self.unlabelled, "validation": self.validation}
        return training | {f"test:{name}": entries for name, entries in self.test.items()}


def load_datalist(path: PathLike, *, warn: bool = True) -> Datalist:
    """Load and check a data list.

    Args:
        path: The file.
        warn: Log what a reader of the file may have overlooked.

    Raises:
        InputError: The file is damaged, names missing files, or has a patient on both sides.
    """
    path = Path(path)
    content = read_json(path, MAX_BYTES, error=InputError)
    found = read_settings(DatalistFile, content, escaped(path), error=InputError)
    root = path.parent / found.root
    data = Datalist(
        path=path,
        labelled=_placed(found.labelled, root, needs_label="labelled"),
        unlabelled=_placed(found.unlabelled, root),
        validation=_placed(found.validation, root, needs_label="validation"),
        test={name: _placed(entries, root, needs_label=f"test.{name}") for name, entries in found.test.items()},
        is_binary=found.label_values == "binary",
        class_names=found.class_names,
    )
    _check_files(data)
    _check_sides(data)
    if warn:
        _warn(data)
    return data


def owners(entries: Iterable[Entry]) -> list[str]:
    """Return whose each entry is; one without a name is of a patient of its own. For grouping, not for showing."""
    return [str(entry.patient_id or f"\0{at}") for at, entry in enumerate(entries)]


def _placed(entries: tuple[Entry, ...], root: Path, *, needs_label: str | None = None) -> tuple[Entry, ...]:
    """Resolve the paths of a list; ``needs_label`` is its name where every entry must have a label."""
    if needs_label is not None and not all(entry.label for entry in entries):
        raise InputError(f'Every entry of `{escaped(needs_label)}` must have a "label".')
    return tuple(
        replace(
            entry,
            image=root / entry.image,
            label=None if entry.label is None else root / entry.label,
            ignore=None if entry.ignore is None else root / entry.ignore,
            patient_id=None if entry.patient_id is None else str(entry.patient_id),
        )
        for entry in entries
    )


def _warn(data: Datalist) -> None:
    """Say what a reader of the file may have overlooked; counted, as identifiers do not belong into logs."""
    entries = [entry for part in data._roles().values() for entry in part]
    nameless = sum(entry.patient_id is None for entry in entries)
    if nameless:
        logger.warning(
            "%s: %d of %d entries have no patient_id, so nothing tells whether a patient is on both sides.",
            escaped(data.path.name),
            nameless,
            len(entries),
        )
    for role in ("validation", "unlabelled"):
        if not data._roles()[role]:
            logger.warning("%s has no %s images.", escaped(data.path.name), role)


def _check_files(data: Datalist) -> None:
    files = {
        file
        for entries in data._roles().values()
        for entry in entries
        for file in (entry.image, entry.label, entry.ignore)
        if file is not None
    }
    missing = sorted(file for file in files if not file.is_file())
    if missing:
        raise InputError(f"`{escaped(data.path)}` must name existing files, missing are {few(missing)}.")


def _check_sides(data: Datalist) -> None:
    """A patient, or an image, that is trained on must not be scored on."""
    trained = data.labelled + data.unlabelled
    scored = data.validation + tuple(entry for entries in data.test.values() for entry in entries)
    patients = _patients(trained) & _patients(scored)
    if patients:
        # Counted, not named: identifiers do not belong into logs.
        raise InputError(
            f"`{escaped(data.path)}` must have every patient on one side, but {len(patients)} are both in training and "
            "in validation or test. Split by patient_id."
        )
    images = sorted({entry.image for entry in trained} & {entry.image for entry in scored})
    if images:
        raise InputError(
            f"`{escaped(data.path)}` must score on other images than it trains on, got {few(images)} on both sides."
        )


def _patients(entries: Iterable[Entry]) -> set[str]:
    return {str(entry.patient_id) for entry in entries if entry.patient_id is not None}
