# SPDX-License-Identifier: Apache-2.0
"""The files of an evaluation: label maps by case, the records of `segment` beside them, the table of patients."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError
from monai_semigan.types import PathLike

__all__ = [
    "Prediction",
    "case_name",
    "find_labels",
    "find_predictions",
    "is_volume_file",
    "pair_hint",
    "read_patients",
    "read_prediction",
]

IMAGE_SUFFIXES = (".png", ".tif", ".tiff")
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
CASE_LABELS = ("label.png", "label.nii.gz", "label.mha", "label.nrrd")
"""What `segment` calls the label map in a case's folder; of several formats, which hold the same, the first is read."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One predicted label map, and what its ``case.json`` says of it.

    Attributes:
        label: The file.
        spacing_mm: Row and column distance as found, unchecked; None if unknown, and for volumes, which hold their own.
        class_names: Name per class; None if unknown.
        bundle: Name and version of what made it; empty if unknown.
        ood: Its out-of-distribution score; None if unknown.
        problem: Why ``case.json`` cannot be used; None if it can, or is not there.
    """

    label: Path
    spacing_mm: Any = None
    class_names: tuple[str, ...] | None = None
    bundle: str = ""
    ood: float | None = None
    problem: str | None = None

    def checked_spacing_mm(self) -> tuple[float, float] | None:
        """Return row and column distance.

        Raises:
            InputError: They are not two positive numbers, or ``case.json`` cannot be read.
        """
        if self.problem is not None:
            raise InputError(self.problem)
        spacing = self.spacing_mm
        if spacing is None:
            return None
        is_pair = isinstance(spacing, list) and len(spacing) == 2
        if not is_pair or not all(isinstance(step, int | float) and 0 < step < math.inf for step in spacing):
            raise InputError(f"`spacing_mm` in case.json must be two positive numbers or null, got {spacing}.")
        return float(spacing[0]), float(spacing[1])


def find_predictions(folder: PathLike) -> dict[str, Prediction]:
    """Find ``<case>.png`` or a volume's file, and ``<case>/label.png`` or another of `CASE_LABELS`, in a folder.

    Raises:
        InputError: There is none, or a case is there twice.
    """
    folder = Path(folder)
    found = {case: Prediction(label=path) for case, path in _labels(folder).items()}
    names = reversed(CASE_LABELS) if folder.is_dir() else ()
    inside = {path.parent: path for name in names for path in folder.glob(f"*/{name}")}
    for path in sorted(inside.values()):
        case = path.parent.name
        if case.startswith("."):  # unfinished
            continue
        if case in found:
            raise InputError(
                f"`{folder}` must name every case once, got {found[case].label.name} and {case}/{path.name}."
            )
        found[case] = read_prediction(path)
    if not found:
        raise InputError(_no_labels("predictions", folder))
    return found


def find_labels(folder: PathLike, name: str) -> dict[str, Path]:
    """Find ``<case>.png``, ``<case>.nii.gz`` and so on in a folder that the error message calls ``name``.

    Raises:
        InputError: There is none, or a case is there twice.
    """
    found = _labels(Path(folder))
    if not found:
        raise InputError(_no_labels(name, Path(folder)))
    return found


def read_patients(path: PathLike, references: Collection[str], predictions: Collection[str]) -> dict[str, str]:
    """Read a CSV file with the columns ``case`` and ``patient``.

    Returns:
        The patient of every case.

    Raises:
        InputError: The file cannot be read, repeats a case, names one that does not exist, or leaves out a reference.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"case", "patient"} <= set(reader.fieldnames or ()):
                raise InputError(f"`{path.name}` must have the columns case and patient, got {reader.fieldnames}.")
            rows = [((row["case"] or "").strip(), (row["patient"] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"`{path}` must be a CSV file that can be read: {error}.") from error
    owners = dict(rows)
    twice = sorted(case for case, times in Counter(case for case, _ in rows).items() if times > 1)
    _refuse(path, "name every case once", "named twice", twice)
    _refuse(path, "name a patient for every case", "without one", [case for case, patient in rows if not patient])
    unknown = sorted(owners.keys() - set(references) - set(predictions))
    _refuse(path, "name cases of the two folders alone", "in neither", unknown)
    _refuse(path, "name every reference", "missing", sorted(set(references) - owners.keys()))
    return owners


def _refuse(path: Path, expected: str, problem: str, cases: list[str]) -> None:
    if cases:
        examples = ", ".join(cases[:3]) + (", ..." if len(cases) > 3 else "")
        raise InputError(
            f"`{path.name}` must {expected}, but {len(cases)} are {problem}: {examples}. Correct the file."
        )


def is_volume_file(path: Path) -> bool:
    """Whether a label map's name is that of a volume."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def pair_hint(case: str, others: Collection[str]) -> str:
    """Say which name may be meant where a case has no partner: ``X_segmentation`` for ``X``, or the reverse."""
    near = sorted(
        other
        for other in others
        if other != case
        and any(long.startswith(f"{short}{mark}") for mark in "_-." for short, long in _both(case, other))
    )
    return f"; `{near[0]}` is there: give both the same name" if near else ""


def _both(first: str, second: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (first, second), (second, first)


def _labels(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        case = case_name(path.name)
        if case is not None and not path.name.startswith(".") and path.is_file():
            if case in found:
                raise InputError(f"`{folder}` must name every case once, got {found[case].name} and {path.name}.")
            found[case] = path
    return found


def case_name(name: str) -> str | None:
    """Take the ending off a label map's name; None for other files."""
    endings = [ending for ending in (*IMAGE_SUFFIXES, *VOLUME_SUFFIXES) if name.lower().endswith(ending)]
    return name[: -len(max(endings, key=len))] if endings else None


def _no_labels(name: str, folder: Path) -> str:
    cause = "holds none" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
    return f"`{name}` must be a folder with label maps (PNG, TIFF, NIfTI, MHA or NRRD), but {folder} {cause}."


def read_prediction(label: Path) -> Prediction:
    """Take a label map with what the ``case.json`` beside it says."""
    path = label.with_name("case.json")
    if not path.is_file():
        return Prediction(label=label)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = ["background", *(part["name"] for part in record.get("classes", ()))]
        # Results before the schema semigan-case-2 have the latter.
        names = names if len(names) > 1 else record.get("class_names")
        bundle = record.get("bundle") or {}
        maker = f"{bundle.get('name', '')} {bundle.get('version', '')}".strip()
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return Prediction(label=label, problem=f"`case.json` must be a JSON object: {error}. Segment the case again.")
    is_named = isinstance(names, list) and bool(names)
    ood = record["ood"].get("score") if isinstance(record.get("ood"), dict) else None
    return Prediction(
        label=label,
        spacing_mm=None if is_volume_file(label) else record.get("spacing_mm"),
        class_names=tuple(map(str, names)) if is_named else None,
        bundle=maker,
        ood=float(ood) if isinstance(ood, (int, float)) else None,
    )
