# SPDX-License-Identifier: Apache-2.0
"""Turn a public data set, or drawn phantoms, into a data list for training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from monai_semigan.atomic import replacing_folder
from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.extras.datasets import DATASETS
from monai_semigan.extras.datasets.collection import Collection, Organs
from monai_semigan.extras.datasets.layout import check_same_size
from monai_semigan.extras.datasets.phantom import Format
from monai_semigan.extras.datasets.phantom import collect as collect_phantom
from monai_semigan.extras.datasets.splits import Share, assign_roles
from monai_semigan.files import write_json
from monai_semigan.io.datalist import SCHEMA, load_datalist
from monai_semigan.types import PathLike, Progress

__all__ = ["Prepared", "prepare", "prepare_phantom"]

LIST_NAME = "data.json"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was written.

    Attributes:
        datalist: The data list.
        counts: Images per role; test sets as ``test:NAME``.
        patients: Patients per role.
        warnings: What a user should know.
    """

    datalist: Path
    counts: dict[str, int]
    patients: dict[str, int]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "schema": "semigan-prepare-1",
            "datalist": str(self.datalist),
            "images": self.counts,
            "patients": self.patients,
            "warnings": list(self.warnings),
        }


def prepare(
    name: str,
    source: PathLike,
    dest: PathLike,
    *,
    labels: int | None = None,
    seed: int = 0,
    test_only: bool = False,
    organs: Organs = "liver",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Check a downloaded data set and write ``dest/data.json``, with what cannot be read where it is beside it.

    The list names files of the source by their absolute paths: it stays where it is. Nothing of ``dest`` is there
    before everything is complete.

    Args:
        name: One of `monai_semigan.extras.datasets.DATASETS`.
        source: Folder of the download, unpacked.
        dest: New or empty folder.
        labels: Labelled patients of the training that are used; None for all. Smaller numbers are among larger ones.
        seed: Of the split.
        test_only: All labelled patients become the test set ``name``: for a data set that is not trained on.
        organs: ``all`` for all classes of abdominal MR; the other data sets have one kind of label.
        overwrite: Replace what an earlier call wrote to ``dest``.
        progress: Called with patients done and all.

    Raises:
        ConfigError: The name or a setting is not possible.
        InputError: The download does not follow the published layout, is incomplete or damaged.
        OutputError: ``dest`` is not empty, or cannot be written.
    """
    if name not in DATASETS:
        raise ConfigError(f"`name` must be one of {', '.join(DATASETS)}, got {name!r}.")
    dataset = DATASETS[name]
    if organs == "all" and not dataset.has_organs:
        raise ConfigError(f"`organs` must be liver for {name}, which has one kind of label.")
    source, dest = Path(source), Path(dest)
    _check_destination(dest, overwrite=overwrite, source=source)
    module = import_module(f"monai_semigan.extras.datasets.{dataset.module}")
    wanted = {"organs": organs} if dataset.has_organs else {}
    collection: Collection = module.collect(source, *dataset.settings, **wanted)
    shares = assign_roles(collection.subjects, labels=labels, seed=seed, test_only=test_only)
    return _write(name, collection, shares, dest, seed, progress)


def prepare_phantom(
    dest: PathLike,
    *,
    patients: int = 12,
    mr_patients: int = 4,
    labels: int | None = None,
    seed: int = 0,
    shape: tuple[int, int, int] = (256, 256, 44),
    volume_format: Format = "nifti",
    organs: Organs = "liver",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Draw abdomens and write them as a data set: slices, volumes, labels and ``dest/data.json``.

    CT patients are split into training, validation and the test set ``phantom``; MR patients, others, are the test set
    ``mr``.

    Args:
        dest: New or empty folder.
        patients: CT patients, at least 3.
        mr_patients: MR patients.
        labels: Labelled CT patients of the training; None for all.
        seed: Of the anatomies and of the split.
        shape: Columns, rows and slices.
        volume_format: ``nifti``, or ``dicom`` for a folder of slices per volume.
        organs: ``liver``, or ``all`` four.
        overwrite: Replace what an earlier call wrote to ``dest``.
        progress: Called with patients done and all.

    Raises:
        ConfigError: A number is out of range.
        OutputError: ``dest`` is not empty, or cannot be written.
    """
    if patients < 3 or mr_patients < 0:
        raise ConfigError(f"`patients` must be >= 3 and `mr_patients` >= 0, got {patients} and {mr_patients}.")
    if min(shape) < 16 or max(shape) > 1024:
        raise ConfigError(f"`shape` must have sizes of 16 to 1024, got {shape}.")
    dest = Path(dest)
    _check_destination(dest, overwrite=overwrite)
    collection = collect_phantom(
        patients, mr_patients, seed=seed, shape=shape, volume_format=volume_format, organs=organs
    )
    shares = assign_roles(collection.subjects, labels=labels, seed=seed)
    return _write("phantom", collection, shares, dest, seed, progress)


def _check_destination(dest: Path, *, overwrite: bool, source: Path | None = None) -> None:
    if source is not None and dest.resolve() in (source.resolve(), *source.resolve().parents):
        raise OutputError(f"`{dest}` must be a folder of its own, but holds the download. Choose another one.")
    if not dest.exists():
        return
    if not dest.is_dir():
        raise OutputError(f"`{dest}` must be a folder, but is a file. Choose another one.")
    if any(dest.iterdir()):
        if not overwrite:
            raise OutputError(f"`{dest}` must be new or empty. Choose another folder, or pass --overwrite.")
        if not _is_prepared(dest):  # never remove a folder that somebody else filled
            raise OutputError(f"`{dest}` must hold an earlier result to be overwritten, but has no {LIST_NAME} of one.")


def _is_prepared(folder: Path) -> bool:
    try:
        content = json.loads((folder / LIST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA and "prepared_from" in content


def _write(
    name: str, collection: Collection, shares: dict[str, Share], dest: Path, seed: int, progress: Progress | None
) -> Prepared:
    entries = _Entries(name)
    subjects = [subject for subject in collection.subjects if subject.patient_id in shares]
    warnings = list(collection.warnings)
    with replacing_folder(dest) as folder:
        for done, subject in enumerate(subjects, start=1):
            written = subject.write(folder)
            for entry in written.images:
                if entry.get("label"):
                    check_same_size(folder / entry["image"], folder / entry["label"])
            entries.add(subject.patient_id, shares[subject.patient_id], written.images, written.volumes)
            warnings += written.warnings
            if progress is not None:
                progress(done, len(subjects))
        head = {
            "schema": SCHEMA,
            "prepared_from": name,
            "seed": seed,
            "label_values": "binary" if collection.is_binary else "classes",
            "class_names": list(collection.class_names),
        }
        write_json(folder / LIST_NAME, head | entries.content())
        load_datalist(folder / LIST_NAME)  # complete, and no patient on both sides
    counts, patients = entries.counts()
    return Prepared(datalist=dest / LIST_NAME, counts=counts, patients=patients, warnings=tuple(warnings))


class _Entries:
    """The lists of a data list, filled patient by patient."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.roles: dict[str, list[dict[str, Any]]] = {"labelled": [], "unlabelled": [], "validation": []}
        self.tests: dict[str, list[dict[str, Any]]] = {}
        self.volumes: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
        self.volume_tests: dict[str, list[dict[str, Any]]] = {}

    def add(
        self, patient_id: str, share: Share, images: Iterable[dict[str, Any]], volumes: Iterable[dict[str, Any]]
    ) -> None:
        extra: dict[str, Any] = {"patient_id": patient_id}
        if share.label_rank is not None:
            extra["label_rank"] = share.label_rank
        for entry in images:
            bare = {key: value for key, value in entry.items() if key not in ("label", "has_organ")}
            if share.role == "train":  # labelled images teach the image discriminator too
                self.roles["unlabelled"].append(bare | {"patient_id": patient_id})
                if share.is_labelled and "label" in entry:
                    self.roles["labelled"].append(entry | extra)
            elif "label" in entry:
                self._scored(self.roles, self.tests, share).append(entry | extra)
        for entry in volumes:
            target = (
                self.volumes["train"] if share.role == "train" else self._scored(self.volumes, self.volume_tests, share)
            )
            target.append(entry | extra)

    def _scored(
        self, roles: dict[str, list[dict[str, Any]]], tests: dict[str, list[dict[str, Any]]], share: Share
    ) -> list[dict[str, Any]]:
        if share.role == "validation":
            return roles["validation"]
        return tests.setdefault(share.test_set or self.name, [])

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.roles | {"test": self.tests}
        if any(self.volumes.values()) or self.volume_tests:
            content["volumes"] = self.volumes | {"test": self.volume_tests}
        return content

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Images and patients by role."""
        lists = self.roles | {f"test:{name}": entries for name, entries in self.tests.items()}
        patients = {role: len({entry["patient_id"] for entry in entries}) for role, entries in lists.items()}
        return {role: len(entries) for role, entries in lists.items()}, patients
