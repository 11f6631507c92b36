# SPDX-License-Identifier: Apache-2.0
"""The pairs of label maps of an evaluation: found by name, read on one grid, scored, and drawn where they differ."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_semigan.errors import ConfigError, InputError, SemiGanError
from monai_semigan.evaluation.case import score_label
from monai_semigan.evaluation.files import (
    Prediction,
    case_name,
    find_labels,
    find_predictions,
    is_volume_file,
    read_patients,
    read_prediction,
)
from monai_semigan.evaluation.placement import lay_on
from monai_semigan.evaluation.table import CaseScore
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.image_file import read_image
from monai_semigan.io.itk_volume import read_itk
from monai_semigan.io.label_file import read_label
from monai_semigan.io.label_volume import read_label_volume
from monai_semigan.io.nifti_volume import read_nifti
from monai_semigan.pictures.overlay import disagreement, encode_jpeg, encode_png
from monai_semigan.pictures.worst_slice import worst_slice
from monai_semigan.report.evaluation_report import Thumbnail
from monai_semigan.types import PathLike

__all__ = ["EvaluationOptions", "LabelPairs", "Labels", "label_paths"]

NUM_THUMBNAILS = 6
"""Cases with the lowest Dice whose disagreement the report draws."""

MASK_VALUE = 255
"""A label map with this value is a mask of 0 and 255, not one of 256 classes."""

Labels = PathLike | Sequence[PathLike]
"""A folder of label maps, a file, or a list of files."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How label maps are scored.

    Attributes:
        patients: CSV with the columns ``case`` and ``patient``; without it every case is its own patient.
        ignore: Folder of masks named like the cases; pixels above 0 are left out of both maps.
        images: Folder of what was labelled, named like the cases: the report draws errors on it.
        num_classes: Number of classes with the background; None takes it from the names, or the largest that occurs.
        class_names: Name per class, the background's first; None takes those of `segment`, or ``class 1`` and so on.
        classes: Class ids to score; all others count as background. None scores all.
        binary: References of any value above 0 are class 1, and so are predictions of 0 and 255 alone.
    """

    patients: PathLike | None = None
    ignore: PathLike | None = None
    images: PathLike | None = None
    num_classes: int | None = None
    class_names: Sequence[str] | None = None
    classes: Sequence[int] | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        most = (self.num_classes or 256) - 1
        wrong = [index for index in self.classes or () if not 1 <= index <= most]
        if wrong:
            shown = ", ".join(map(str, sorted(self.classes or ())))
            raise ConfigError(f"`classes` must be class ids 1 to {most}, got {shown}.")
        if self.class_names is not None and self.num_classes not in (None, len(self.class_names)):
            raise ConfigError(
                f"`num_classes` must be the number of class names ({len(self.class_names)}), got {self.num_classes}."
            )


@dataclass(frozen=True)
class _Pair:
    """Both label maps of a case on the same pixels; ``grid`` is that of a volume."""

    predicted: np.ndarray
    reference: np.ndarray
    ignore: np.ndarray | None
    grid: VoxelGrid | None


@dataclass(frozen=True)
class LabelPairs:
    """The files and how to read them; ``options`` with the names and the number of classes that were found."""

    predicted: Mapping[str, Prediction]
    reference: Mapping[str, Path]
    ignored: Mapping[str, Path]
    images: Mapping[str, Path]
    owners: Mapping[str, str]
    options: EvaluationOptions

    @classmethod
    def find(cls, predictions: Labels, references: Labels, options: EvaluationOptions) -> LabelPairs:
        predicted, reference = _found(predictions, references)
        common = sorted(reference.keys() & predicted.keys())
        ignored = find_labels(options.ignore, "ignore") if options.ignore is not None else {}
        if ignored and not ignored.keys() & set(common):
            raise InputError(
                f"`ignore` must hold masks named like the cases, but {options.ignore} has none for any of them."
            )
        owners = read_patients(options.patients, reference, predicted) if options.patients is not None else {}
        names = options.class_names
        if names is None:
            found = {predicted[case].class_names for case in common} - {None}
            if len(found) > 1:
                raise InputError("All predictions must have the same class names, got those of several bundles.")
            names = next(iter(found), None)
        number = options.num_classes or (len(names) if names else None)
        known = replace(options, class_names=names, num_classes=number)
        return cls(predicted, reference, ignored, _images(options.images), owners, known)

    @property
    def common(self) -> list[str]:
        """Cases with both label maps, in order."""
        return sorted(self.reference.keys() & self.predicted.keys())

    def read(self, case: str) -> _Pair:
        """Read a case; what is not to be scored is background."""
        reference, grid = _read(self.reference[case], binary=self.options.binary)
        predicted = _read_on(grid, self.predicted[case].label, "prediction")
        if self.options.binary and np.isin(predicted, (0, MASK_VALUE)).all():
            predicted = (predicted > 0).astype(np.uint8)
        ignore = _read_on(grid, self.ignored[case], "ignore mask", binary=True) if case in self.ignored else None
        return _Pair(
            self._checked(predicted, "prediction"),
            self._checked(reference, "reference"),
            ignore.astype(bool) if ignore is not None else None,
            grid,
        )

    def _checked(self, label: np.ndarray, name: str) -> np.ndarray:
        """Refuse classes that do not exist; make those that are not scored background."""
        most, (classes, num_classes) = int(label.max()), (self.options.classes, self.options.num_classes)
        if num_classes is None and most == MASK_VALUE and most not in (classes or ()):
            hint = "Write class ids" if self.options.binary else "Pass --binary for masks of 0 and 255"
            raise InputError(f"The {name} must hold class ids, got the value 255. {hint}, or state --num-classes.")
        if classes:
            return np.where(np.isin(label, classes), label, np.uint8(0))
        if num_classes is not None and most >= num_classes:
            hint = "" if self.options.binary else "For masks of 0 and 255 pass --binary; to"
            raise InputError(
                f"The {name} must hold class ids 0 to {num_classes - 1}, got values {label.min()} to {most}. "
                f"{hint or 'To'} score some of the classes alone, --class."
            )
        return label

    def score(self, case: str) -> list[CaseScore]:
        pair, classes = self.read(case), sorted(set(self.options.classes or ()))
        scores = score_label(
            pair.predicted,
            pair.reference,
            pair.grid.spacing_mm if pair.grid else self.predicted[case].checked_spacing_mm(),
            ignore=pair.ignore,
            num_classes=max(classes) + 1 if classes else self.options.num_classes,
            class_names=self.options.class_names,
        ).of_case(case, self.owners.get(case, case), self.predicted[case].ood)
        return [scores[index - 1] for index in classes] if classes else scores

    def worst(self, scores: Sequence[CaseScore]) -> list[Thumbnail]:
        """Draw the cases with the lowest Dice of any class, the worst first."""
        lowest: dict[str, float] = {}
        for score in scores:
            lowest[score.case] = min(score.dice, lowest.get(score.case, 1.0))
        chosen = [case for case in sorted(lowest, key=lowest.__getitem__) if lowest[case] < 1.0]
        return [self._thumbnail(case, lowest[case]) for case in chosen[:NUM_THUMBNAILS]]

    def _thumbnail(self, case: str, score: float) -> Thumbnail:
        pair, note = self.read(case), ""
        predicted, reference, ignore, image = pair.predicted, pair.reference, pair.ignore, self._image(case, pair)
        if pair.grid is not None:
            view = worst_slice(predicted, reference, pair.grid, ignore=ignore, image=image)
            predicted, reference, ignore, image, note = (
                view.predicted, view.reference, view.ignore, view.image, view.name,
            )  # fmt: skip
        drawn = disagreement(predicted, reference, ignore=ignore, image=image)
        picture = encode_png(drawn) if image is None else encode_jpeg(drawn)
        return Thumbnail(case=case, dice=score, picture=picture, note=note, is_on_image=image is not None)

    def _image(self, case: str, pair: _Pair) -> np.ndarray | None:
        """Read what was labelled; None if it is not there or does not fit: the scores do not need it."""
        path = self.images.get(case)
        if path is None:
            return None
        try:
            if pair.grid is None:
                pixels = read_image(path).pixels
                return pixels if pixels.shape[:2] == pair.reference.shape else None
            volume = (read_nifti if path.name.lower().endswith((".nii", ".nii.gz")) else read_itk)(path)
            return lay_on(pair.grid, volume.voxels, volume.grid, name="image")
        except SemiGanError:
            return None


def _read(path: Path, *, binary: bool = False) -> tuple[np.ndarray, VoxelGrid | None]:
    """Read an image's or a volume's label map; only volumes have a grid."""
    if not is_volume_file(path):
        return read_label(path, binary=binary), None
    volume = read_label_volume(path)
    if volume.voxels.dtype != np.uint8:
        raise InputError(f"`{path.name}` must hold class ids 0 to 255, got {int(volume.voxels.max())}.")
    return (volume.voxels > 0).astype(np.uint8) if binary else volume.voxels, volume.grid


def _read_on(grid: VoxelGrid | None, path: Path, name: str, *, binary: bool = False) -> np.ndarray:
    """Read a label map on the pixels of the reference, whose grid is given if it is a volume."""
    if is_volume_file(path) != (grid is not None):
        kinds = ("a volume", "an image") if grid is not None else ("an image", "a volume")
        raise InputError(f"The {name} must be {kinds[0]} like its reference, got {kinds[1]} ({path.name}).")
    label, own_grid = _read(path, binary=binary)
    return label if grid is None or own_grid is None else lay_on(grid, label, own_grid, name=name)


def label_paths(given: Labels) -> list[Path]:
    """List a folder, a file, or the files of a list."""
    return [Path(given)] if isinstance(given, (str, os.PathLike)) else [Path(path) for path in given]


def _found(predictions: Labels, references: Labels) -> tuple[dict[str, Prediction], dict[str, Path]]:
    """Name the cases of both sides: by their files' names, or as pairs in order where both are files."""
    given = label_paths(predictions), label_paths(references)
    is_files = [not isinstance(side, (str, os.PathLike)) or Path(side).is_file() for side in (predictions, references)]
    if is_files[0]:
        predicted = {case: read_prediction(path) for case, path in _named(given[0]).items()}
    else:
        predicted = find_predictions(given[0][0])
    if not is_files[1]:
        return predicted, find_labels(given[1][0], "references")
    if not is_files[0]:
        return predicted, _named(given[1])
    if len(given[0]) != len(given[1]):
        raise InputError(f"`references` must be as many files as `predictions` ({len(given[0])}), got {len(given[1])}.")
    return predicted, dict(zip(predicted, given[1], strict=True))


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Name each label map after its file; one of `segment` after its folder."""
    found: dict[str, Path] = {}
    for path in paths:
        stem = case_name(path.name)
        case = path.absolute().parent.name if stem == "label" else stem
        if case is None or not path.is_file():
            raise InputError(f"`{path}` must be a label map (PNG, TIFF, NIfTI, MHA or NRRD) that exists.")
        if case in found:
            raise InputError(f"A list of label maps must name every case once, got {case} twice. Rename the files.")
        found[case] = path
    if not found:
        raise InputError("A list of label maps must hold at least one file, got none.")
    return found


def _images(folder: PathLike | None) -> dict[str, Path]:
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise InputError(f"`images` must be a folder of images named like the cases, got {folder}.")
    return {case_name(path.name) or path.stem: path for path in sorted(Path(folder).iterdir()) if path.is_file()}
