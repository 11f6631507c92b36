# SPDX-License-Identifier: Apache-2.0
"""Make a data list of a user's own images and masks: paired, looked into, split by patient."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.files import escaped, few, make_folder, write_json
from monai_semigan.io.datalist import SCHEMA, load_datalist
from monai_semigan.types import PathLike, Paths, Progress, as_paths
from monai_semigan.workflows.case_table import CaseTable, Row, read_case_table
from monai_semigan.workflows.mask_pairs import MaskPairs, find_pairs
from monai_semigan.workflows.pair_checks import (
    CheckedPair,
    LabelValues,
    check_pair,
    class_counts,
    content_warnings,
    label_values_of,
)
from monai_semigan.workflows.patient_names import compiled_pattern, find_patients
from monai_semigan.workflows.patient_split import ListedImage, Shares, Sides, split_images

__all__ = ["DatalistOptions", "DatalistSummary", "make_datalist"]

SHOWN_BAD = 20
"""Bad images that an error lists; the rest is counted."""

TEST_NAME = "test"
"""Of the test set whose images have no source."""


@dataclass(frozen=True, kw_only=True)
class DatalistOptions:
    """How a data list is made.

    Attributes:
        patient_pattern: Regular expression with one group, the patient, searched in files' names; in whole paths if it
            has a ``/``. None: by the table, else the DICOM header, else names.
        validation: Share of the labelled patients for the validation, 0 to below 1.
        test: Share of them for the test.
        seed: Of the split and the ranks.
        label_values: ``binary`` (above 0 is class 1) or ``classes`` (ids); None decides by the masks.
        skip_bad: Leave out images that cannot be used instead of refusing all.
        overwrite: Replace an existing file.
    """

    patient_pattern: str | None = None
    validation: float = 0.2
    test: float = 0.0
    seed: int = 0
    label_values: LabelValues | None = None
    skip_bad: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be a share from 0 to below 1, got {getattr(self, name)}.")
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"`validation` and `test` must leave a share for the training, got {self.validation} and {self.test}."
            )
        if self.seed < 0:
            raise ConfigError(f"`seed` must be >= 0, got {self.seed}.")
        if self.label_values not in (None, "binary", "classes"):
            raise ConfigError(f"`label_values` must be binary, classes or None, got {self.label_values!r}.")
        compiled_pattern(self.patient_pattern)


@dataclass(frozen=True, kw_only=True)
class DatalistSummary:
    """What was written.

    Attributes:
        datalist: The file.
        counts: Images per role, and ``all`` that were found and can be used; test sets as ``test:NAME``.
        patients: Patients per role.
        patient_rule: What told the patients apart.
        label_values: ``binary`` or ``classes``.
        classes: Images that show each class, of those with masks.
        bad: What was left out, with the reason.
        warnings: What a user should know.
    """

    datalist: Path
    counts: dict[str, int]
    patients: dict[str, int]
    patient_rule: str
    label_values: LabelValues
    classes: dict[int, int]
    bad: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "schema": "semigan-data-1",
            "datalist": str(self.datalist),
            "images": self.counts,
            "patients": self.patients,
            "patient_rule": self.patient_rule,
            "label_values": self.label_values,
            "classes": {str(index): count for index, count in self.classes.items()},
            "bad": self.bad,
            "warnings": list(self.warnings),
        }


def make_datalist(
    images: Paths,
    *,
    masks: PathLike | None = None,
    csv: PathLike | None = None,
    output: PathLike,
    options: DatalistOptions | None = None,
    progress: Progress | None = None,
) -> DatalistSummary:
    """Pair images with masks, look into all of them, split them by patient and write a data list.

    Args:
        images: Files and folders.
        masks: Folder of masks named like the images, or a pattern relative to an image's folder such as
            ``{stem}_mask.png``; None for masks that lie beside their images.
        csv: Table with a column image (path, case), and any of patient_id (patient), label (mask), split, source.
        output: The JSON file.
        options: How to do it.
        progress: Called with images done and all.

    Raises:
        ConfigError: An option is not possible.
        InputError: Images, masks or the table cannot be used; see `find_pairs`, `read_case_table` and `check_pair`.
        OutputError: ``output`` exists, or cannot be written.
    """
    options, output = options or DatalistOptions(), Path(output)
    if output.is_dir() or (output.exists() and not options.overwrite):
        kind = "is a folder. Name the file" if output.is_dir() else "exists. Choose another one, or pass --overwrite"
        raise OutputError(f"`{output}` must be a new file, but {kind}.")
    table = None if csv is None else read_case_table(csv, masks=masks)
    says_masks = table is not None and "mask" in table.columns
    stated = {row.mask for row in table.rows if row.mask is not None} if table is not None and says_masks else None
    pairs = find_pairs(as_paths(images), masks, stated=stated)
    rows = {} if table is None else table.by_image(pairs.images)
    found = {image: row.mask for image, row in rows.items() if row.mask is not None} if says_masks else pairs.masks
    checked, bad = _checked(pairs.images, found, progress)
    if not checked or (bad and not options.skip_bad):
        raise InputError(_refusal(bad, len(pairs.images)))
    kind = label_values_of(checked, options.label_values)
    patients = find_patients(
        {pair.image: pair.dicom_patient for pair in checked}, table, rows, compiled_pattern(options.patient_pattern)
    )
    listed = [_listed(pair, patients.ids.get(pair.image), rows.get(pair.image)) for pair in checked]
    split = split_images(listed, Shares(validation=options.validation, test=options.test, seed=options.seed))
    lists = _lists(listed, split)
    _write(output, lists, {"label_values": kind, "seed": options.seed})
    everybody: dict[str, Sequence[ListedImage | _Item]] = {"all": listed, **lists}
    return DatalistSummary(
        datalist=output,
        counts={role: len(entries) for role, entries in everybody.items()},
        patients={role: len({e.patient_id or e.image for e in entries}) for role, entries in everybody.items()},
        patient_rule=patients.rule,
        label_values=kind,
        classes=class_counts(checked, kind),
        bad={str(image): reason for image, reason in bad.items()},
        warnings=(
            *_warnings_of_files(pairs, table, rows),
            *content_warnings(checked),
            *patients.warnings,
            *_warnings_of_split(listed, lists, split, wants_validation=options.validation > 0),
        ),
    )


def _checked(
    images: Sequence[Path], masks: Mapping[Path, Path], progress: Progress | None
) -> tuple[list[CheckedPair], dict[Path, str]]:
    """Look into all images; those that cannot be used come with the reason."""
    checked, bad = [], {}
    for done, image in enumerate(images, start=1):
        try:
            checked.append(check_pair(image, masks.get(image)))
        except InputError as error:
            bad[image] = str(error)
        if progress is not None:
            progress(done, len(images))
    return checked, bad


def _refusal(bad: Mapping[Path, str], number: int) -> str:
    lines = [f"  {escaped(image)}: {reason}" for image, reason in bad.items()]
    if len(lines) > SHOWN_BAD:
        lines[SHOWN_BAD:] = [f"  and {len(lines) - SHOWN_BAD} more"]
    remedy = "Repair them, or leave them out with --skip-bad" if len(bad) < number else "Repair them"
    return "\n".join([f"Every image must be usable, but {len(bad)} of {number} are not. {remedy}:", *lines])


def _listed(pair: CheckedPair, patient_id: str | None, row: Row | None) -> ListedImage:
    return ListedImage(
        image=pair.image,
        mask=pair.mask,
        patient_id=patient_id,
        digest=pair.digest,
        split=None if row is None else row.split,
        source=None if row is None else row.source,
    )


@dataclass(frozen=True, kw_only=True)
class _Item:
    """An entry of one list."""

    image: Path
    label: Path | None = None
    patient_id: str | None = None
    label_rank: int | None = None

    def to_json(self, root: Path) -> dict[str, Any]:
        paths = {"image": self.image, "label": self.label}
        content: dict[str, Any] = {
            name: path.relative_to(root).as_posix() for name, path in paths.items() if path is not None
        }
        others = {"patient_id": self.patient_id, "label_rank": self.label_rank}
        return content | {name: value for name, value in others.items() if value is not None}


def _lists(listed: Iterable[ListedImage], split: Sides) -> dict[str, list[_Item]]:
    """Fill the roles; test sets as ``test:NAME``."""
    lists: dict[str, list[_Item]] = {"labelled": [], "unlabelled": [], "validation": []}
    for entry in listed:
        side = split.sides[entry.image]
        bare = _Item(image=entry.image, patient_id=entry.patient_id)
        labelled = replace(bare, label=entry.mask)
        if side == "train":  # labelled images teach the image discriminator too
            lists["unlabelled"].append(bare)
            if entry.is_labelled:
                lists["labelled"].append(replace(labelled, label_rank=split.ranks[entry.image]))
        elif entry.is_labelled:
            role = "validation" if side == "validation" else f"test:{entry.source or TEST_NAME}"
            lists.setdefault(role, []).append(labelled)
    return lists


def _write(output: Path, lists: Mapping[str, Sequence[_Item]], head: Mapping[str, Any]) -> None:
    """Write the list and load it, before it gets its name."""
    files = [
        path for items in lists.values() for item in items for path in (item.image, item.label) if path is not None
    ]
    make_folder(output.parent)
    try:
        root = Path(os.path.commonpath([path.parent for path in files]))
        # The system follows `..` from where the file really is, also behind a link.
        shown = Path(os.path.relpath(root.resolve(), output.parent.resolve())).as_posix()
    except ValueError:
        raise OutputError("`output` must be on the drive that all images are on.") from None
    roles = {role: [item.to_json(root) for item in items] for role, items in lists.items()}
    tests = {role.removeprefix("test:"): roles.pop(role) for role in list(roles) if role.startswith("test:")}
    with replacing(output) as temporary:
        write_json(temporary, {"schema": SCHEMA, "root": shown, **head, **roles, "test": tests})
        load_datalist(temporary, warn=False)  # complete, and no patient on both sides


def _warnings_of_files(pairs: MaskPairs, table: CaseTable | None, rows: Mapping[Path, Row]) -> list[str]:
    warnings = []
    if pairs.orphans:
        names = few(mask.name for mask in pairs.orphans)
        warnings.append(f"{len(pairs.orphans)} masks have no image and were left out: {names}.")
    if table is None:
        return warnings
    if table.ignored:
        warnings.append(f"Columns of {table.path.name} that mean nothing here: {few(table.ignored)}.")
    used = {row.image for row in rows.values()}
    unused = [row.image for row in table.rows if row.image not in used]
    if unused:
        warnings.append(f"{len(unused)} rows of {table.path.name} name no image that was given: {few(unused)}.")
    missing = [image.name for image in pairs.images if image not in rows]
    if missing:
        warnings.append(f"{len(missing)} images are not in {table.path.name}: {few(missing)}.")
    return warnings


def _warnings_of_split(
    listed: Iterable[ListedImage], lists: Mapping[str, Sequence[_Item]], split: Sides, *, wants_validation: bool
) -> list[str]:
    warnings = []
    bare = [entry.image.name for entry in listed if split.sides[entry.image] != "train" and not entry.is_labelled]
    if bare:
        warnings.append(
            f"{len(bare)} images without masks are of patients in validation or test and were left out: {few(bare)}."
        )
    if not lists["labelled"]:
        warnings.append("No image has a mask to train on: the training needs some. Give masks with --masks.")
    elif wants_validation and not lists["validation"]:
        warnings.append("No patient is for validation, so nothing chooses the best weights. Raise --validation.")
    return warnings
