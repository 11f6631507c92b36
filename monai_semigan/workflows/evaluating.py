# SPDX-License-Identifier: Apache-2.0
"""Score label maps against references: per case, per patient, summary, report."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from monai_semigan.errors import ConfigError, InputError, SemiGanError
from monai_semigan.evaluation.case import score_label, with_absent_classes
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
from monai_semigan.evaluation.table import METRICS, CaseScore, count_classes, per_patient, summarize
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.image_file import read_image
from monai_semigan.io.itk_volume import read_itk
from monai_semigan.io.label_file import read_label
from monai_semigan.io.label_volume import read_label_volume
from monai_semigan.io.nifti_volume import read_nifti
from monai_semigan.pictures.overlay import disagreement, encode_jpeg, encode_png
from monai_semigan.pictures.worst_slice import worst_slice
from monai_semigan.report.evaluation_report import Evaluation, Thumbnail, render_evaluation_report
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment

__all__ = ["Evaluation", "EvaluationOptions", "evaluate"]

NUM_THUMBNAILS = 6
"""Cases with the lowest Dice whose disagreement the report draws."""

UNDECLARED_MASK_VALUE = 255
"""A label map with this value is a mask of 0 and 255 that nobody declared as one, not one of 256 classes."""

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
        binary: References of any value above 0 are class 1.
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


def evaluate(
    predictions: Labels,
    references: Labels,
    output: PathLike,
    *,
    options: EvaluationOptions | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score label maps; write ``cases.csv``, ``patients.csv``, ``summary.json`` and ``report.html``.

    Cases are matched by name: ``<case>.png`` (or a TIFF) or a volume (``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``,
    ``.nrrd``) among the references, the same or the folder ``<case>/`` of `segment` among the predictions. Two files,
    or two lists of files, are pairs in their order, whatever their names. What has no counterpart is listed as a
    failure. A predicted volume must have its reference's voxels; the order and direction of its axes may differ.

    Args:
        predictions: Folder of label maps, or the output of `segment`, which also gives spacing and class names; or a
            file, or a list of files.
        references: Folder of label maps, a file, or a list of files.
        output: Folder for the results; not one of the input folders.
        options: How to score; None for the usual.
        progress: Called with the cases done and their number.

    Raises:
        InputError: A folder is missing or empty, or the patients' table is wrong.
        ConfigError: The settings contradict each other.
        OutputError: The results cannot be written.
    """
    job = _Job.of(predictions, references, options or EvaluationOptions())
    places = {path.resolve() for path in (*_paths(predictions), *_paths(references))}
    if Path(output).resolve() in places:
        raise ConfigError(f"`output` must be a folder of its own, got the input folder {output}.")
    folder = make_folder(output)
    common = sorted(job.reference.keys() & job.predicted.keys())
    failures = [(case, "no prediction") for case in sorted(job.reference.keys() - job.predicted.keys())]
    failures += [(case, "no reference") for case in sorted(job.predicted.keys() - job.reference.keys())]
    num_unpaired = len(failures)
    scores: list[list[CaseScore]] = []
    for done, case in enumerate(common):
        try:
            scores.append(job.score(case))
        except SemiGanError as error:
            failures.append((case, str(error)))
        if progress is not None:
            progress(done + 1, len(common))
    cases = with_absent_classes(scores)
    patients = per_patient(cases)
    result = Evaluation(
        summaries=tuple(summarize(patients)),
        patients=tuple(patients),
        cases=tuple(cases),
        classes=tuple(count_classes(cases)),
        failures=tuple(sorted(failures)),
        counts={
            "cases": len(scores),
            "patients": len({score.patient for score in cases}),
            "failed_cases": len(failures),
            "missing_predictions": len(job.reference.keys() - job.predicted.keys()),
            "missing_references": len(job.predicted.keys() - job.reference.keys()),
            "unusable_cases": len(failures) - num_unpaired,
            "volumes": sum(case[0].reference_ml is not None for case in scores),
            "cases_with_spacing": sum(
                case[0].reference_ml is not None or job.predicted[case[0].case].spacing_mm is not None
                for case in scores
            ),
            "cases_with_ignore_mask": sum(case[0].case in job.ignored for case in scores),
            "undefined_surfaces": sum(not score.has_surfaces for score in cases),
        },
        worst=tuple(job.worst(cases)),
        has_patients=job.options.patients is not None,
        bundle=", ".join(sorted({job.predicted[case].bundle for case in common} - {""})),
        inputs=_inputs(predictions, references, job.options),
        links={case: link for case in common if (link := _link(job.predicted[case].label, folder))},
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        versions=environment(),
    )
    write_text(folder / "cases.csv", _csv_text(("case", "patient", "class_name"), result.cases))
    write_text(folder / "patients.csv", _csv_text(("patient", "class_name", "num_cases"), result.patients))
    write_json(folder / "summary.json", result.to_json())
    write_text(folder / "report.html", render_evaluation_report(result))
    return result


@dataclass(frozen=True)
class _Pair:
    """Both label maps of a case on the same pixels; ``grid`` is that of a volume."""

    predicted: np.ndarray
    reference: np.ndarray
    ignore: np.ndarray | None
    grid: VoxelGrid | None


@dataclass(frozen=True)
class _Job:
    """The files and how to read them; ``options`` with the names and the number of classes that were found."""

    predicted: Mapping[str, Prediction]
    reference: Mapping[str, Path]
    ignored: Mapping[str, Path]
    images: Mapping[str, Path]
    owners: Mapping[str, str]
    options: EvaluationOptions

    @classmethod
    def of(cls, predictions: Labels, references: Labels, options: EvaluationOptions) -> _Job:
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

    def read(self, case: str) -> _Pair:
        """Read a case; what is not to be scored is background."""
        reference, grid = _read(self.reference[case], binary=self.options.binary)
        predicted = _read_on(grid, self.predicted[case].label, "prediction")
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
        if num_classes is None and most == UNDECLARED_MASK_VALUE and most not in (classes or ()):
            hint = "Pass --binary for masks of 0 and 255" if name == "reference" else "Write class ids"
            raise InputError(f"The {name} must hold class ids, got the value 255. {hint}, or state --num-classes.")
        if classes:
            return np.where(np.isin(label, classes), label, np.uint8(0))
        if num_classes is not None and most >= num_classes:
            raise InputError(
                f"The {name} must hold class ids 0 to {num_classes - 1}, got values {label.min()} to {most}. For "
                "masks of 0 and 255 pass --binary; to score some of the classes alone, --class."
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
        ).of_case(case, self.owners.get(case, case))
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


def _paths(given: Labels) -> list[Path]:
    return [Path(given)] if isinstance(given, (str, os.PathLike)) else [Path(path) for path in given]


def _found(predictions: Labels, references: Labels) -> tuple[dict[str, Prediction], dict[str, Path]]:
    """Name the cases of both sides: by their files' names, or as pairs in order where both are files."""
    given = _paths(predictions), _paths(references)
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


def _inputs(predictions: Labels, references: Labels, options: EvaluationOptions) -> dict[str, str]:
    """What was scored, by names of files and folders without their places."""
    sides = {"predictions": predictions, "references": references}
    inputs = {
        name: Path(side).absolute().name if isinstance(side, (str, os.PathLike)) else f"{len(side)} files"
        for name, side in sides.items()
    }
    places = {"patients": options.patients, "ignore": options.ignore, "images": options.images}
    inputs |= {name: Path(place).absolute().name for name, place in places.items() if place is not None}
    if options.classes:
        inputs["classes scored"] = ", ".join(map(str, sorted(set(options.classes))))
    if options.binary:
        inputs["references are"] = "binary: every value above 0 is class 1"
    return inputs


def _link(label: Path, folder: Path) -> str | None:
    """Address of a file as seen from the report; None from another drive."""
    try:
        return quote(Path(os.path.relpath(label.absolute(), folder.absolute())).as_posix())
    except ValueError:
        return None


def _csv_text(first: Sequence[str], rows: Sequence[Any]) -> str:
    """Write rows of one dataclass: its ``first`` fields, the metrics, and the others."""
    stream = StringIO()
    others = [field.name for field in fields(rows[0]) if field.name not in (*first, *METRICS)] if rows else []
    writer = csv.DictWriter(stream, fieldnames=[*first, *METRICS, *others], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _rounded(value) for key, value in asdict(row).items()} for row in rows)
    return stream.getvalue()


def _rounded(value: Any) -> Any:
    return f"{value:.6f}" if isinstance(value, float) else value
