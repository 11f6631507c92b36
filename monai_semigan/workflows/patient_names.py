# SPDX-License-Identifier: Apache-2.0
"""Whose image is it: by a table, a pattern, the DICOM header, or by names that differ in a number or a view alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.files import few
from monai_semigan.io.image_file import image_stem
from monai_semigan.workflows.case_table import CaseTable, Row

__all__ = ["Patients", "compiled_pattern", "find_patients"]

VIEW = re.compile(r"[-_ ](?:pa|ap|ll|lat|lateral|frontal|left|right|l|r|cc|mlo)", re.IGNORECASE)
NUMBER = re.compile(r"[-_ ](?:(?:slice|view|image|img|scan|frame)[-_ ]?\d{1,4}|\d{1,3})", re.IGNORECASE)
"""What may follow a patient's name in that of a file. A bare number of four digits counts images more often."""

MAX_SHARE = 0.5
"""Of the images, as one patient: more means that a number counts images, not those of a patient."""


@dataclass(frozen=True, kw_only=True)
class Patients:
    """The patients that were found.

    Attributes:
        ids: By image; who is not in it is nobody else.
        rule: How they were found, in words.
        warnings: What a user should know.
    """

    ids: Mapping[Path, str]
    rule: str
    warnings: tuple[str, ...] = ()


def compiled_pattern(text: str | None) -> re.Pattern[str] | None:
    """Compile a pattern for patients' names.

    Raises:
        ConfigError: It is no regular expression, or has not one group.
    """
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(
            f"`patient_pattern` must be a regular expression, but {text!r} is none: {error.msg}."
        ) from None
    if pattern.groups != 1:
        raise ConfigError(f"`patient_pattern` must have one group, the patient, got {pattern.groups} in {text!r}.")
    return pattern


def find_patients(
    dicom: Mapping[Path, str],
    table: CaseTable | None,
    rows: Mapping[Path, Row],
    pattern: re.Pattern[str] | None,
) -> Patients:
    """Find the patient of every image by the first rule that can tell.

    What a user states, by a table or a pattern, comes before what headers and names say: PatientID may be the same for
    everybody after an anonymization.

    Args:
        dicom: By image, in order, its PatientID; empty where there is none. They become running numbers.
        table: What the user says of the images.
        rows: Its row for each image.
        pattern: Its group is the patient, searched in the file's name; in the whole path if it has a ``/``.

    Raises:
        InputError: A table of patients does not name all images, or the pattern does not fit all.
    """
    images = list(dicom)
    if table is not None and "patient" in table.columns:
        _refuse_nameless(f"`{table.path.name}`", images, rows, "Add their rows, or leave the images out.")
        ids = {image: name for image in images if (name := rows[image].patient) is not None}
        unknown = [image.name for image in images if image not in ids]
        text = f"{len(unknown)} images have no patient in {table.path.name}, so each counts as its own: {few(unknown)}."
        return Patients(ids=ids, rule=table.path.name, warnings=(text,) if unknown else ())
    if pattern is not None:
        ids = {
            image: match[1]
            for image in images
            if (match := pattern.search(image.as_posix() if "/" in pattern.pattern else image.name)) and match[1]
        }
        _refuse_nameless("`patient_pattern`", images, ids, "Widen it.")
        return Patients(ids=ids, rule="the pattern")
    return _found_in_files(dicom)


def _refuse_nameless(what: str, images: Sequence[Path], named: Mapping[Path, object], remedy: str) -> None:
    nameless = [image.name for image in images if image not in named]
    if nameless:
        raise InputError(
            f"{what} must name a patient for every image, but {len(nameless)} of {len(images)} are without one: "
            f"{few(nameless)}. {remedy}"
        )


def _found_in_files(dicom: Mapping[Path, str]) -> Patients:
    numbers: dict[str, str] = {}
    for name in dicom.values():
        if name:
            numbers.setdefault(name, f"patient-{len(numbers) + 1:04d}")
    ids = {image: numbers[name] for image, name in dicom.items() if name}
    warnings: list[str] = []
    if len(ids) > 1 and len(numbers) == 1:
        warnings.append(
            f"All {len(ids)} DICOM images have the same PatientID, so they count as one patient. If they are of "
            "several, say so with --csv or --patient-pattern."
        )
    rules = ["the DICOM header"] if ids else []
    rest = [image for image in dicom if image not in ids]
    by_name = _by_names(rest)
    if by_name:
        rules.append("names that differ in a last number or view alone")
        counts = Counter(by_name.values())
        most = max(counts, key=counts.__getitem__)
        pair = [image.name for image in rest if by_name[image] == most]
        warnings.append(
            f"{len(by_name)} images were taken for those of {len(counts)} patients, as names such as {few(pair[:2])} "
            "differ in a last number or view alone. If that is wrong, say whose they are with --csv or "
            "--patient-pattern."
        )
    elif rest:
        rules.append("one patient per image")
        warnings.append(
            f"Nothing tells the patients of {len(rest)} images, so each counts as its own. If patients have several, "
            "say so with --csv or --patient-pattern, or they may be on both sides of the split."
        )
    return Patients(ids=ids | by_name, rule=", else ".join(rules), warnings=tuple(warnings))


def _by_names(images: Sequence[Path]) -> dict[Path, str]:
    """Group images by their names without a last number or view; nothing where that makes no sense."""
    names = {image: _without_number(image_stem(image)) for image in images}
    counts = Counter(name.casefold() for name in names.values())
    is_shortened = {names[image].casefold() for image in images if names[image] != image_stem(image)}
    shared = [count for name, count in counts.items() if count > 1 and name in is_shortened]
    if not shared or max(counts.values()) > MAX_SHARE * len(images):
        return {}
    spelled: dict[str, str] = {}
    return {image: spelled.setdefault(name.casefold(), name) for image, name in names.items()}


def _without_number(stem: str) -> str:
    """Take views and one number off the end of a name, as long as a digit is left: a patient's name has one."""
    for ending in (VIEW, VIEW, NUMBER, VIEW, VIEW):
        found = re.fullmatch(rf"(?P<name>.*\d.*?)(?:{ending.pattern})", stem, re.IGNORECASE)
        stem = found["name"] if found else stem
    return stem
