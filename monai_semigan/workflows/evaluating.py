# SPDX-License-Identifier: Apache-2.0
"""Score label maps against references: per case, per patient, summary, report."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.errors import ConfigError, InputError, SemiGanError
from monai_semigan.evaluation.case import score_case, with_absent_classes
from monai_semigan.evaluation.empty import EMPTY_RULE
from monai_semigan.evaluation.files import (
    Prediction,
    find_labels,
    find_predictions,
    is_volume_file,
    pair_hint,
    read_patients,
)
from monai_semigan.evaluation.placement import lay_on
from monai_semigan.evaluation.table import (
    CONFIDENCE,
    NUM_RESAMPLES,
    CaseScore,
    ClassCount,
    PatientScore,
    Summary,
    count_classes,
    per_patient,
    summarize,
)
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.label_file import read_label
from monai_semigan.io.label_volume import read_label_volume
from monai_semigan.pictures.overlay import disagreement, encode_png
from monai_semigan.pictures.worst_slice import worst_slice
from monai_semigan.report.evaluation_report import Thumbnail, render_evaluation_report
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment

__all__ = ["Evaluation", "evaluate"]

SCHEMA = "semigan-evaluation-1"

NUM_THUMBNAILS = 6
"""Cases with the lowest Dice whose disagreement the report draws."""

UNDECLARED_MASK_VALUE = 255
"""A label map with this value is a mask of 0 and 255 that nobody declared as one, not one of 256 classes."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        summaries: Per class and metric, over patients.
        patients: Per patient and class.
        cases: Per case and class.
        classes: Per class, how often it was absent.
        failures: Case and reason, of all that could not be scored.
        counts: Cases, patients, and what is missing, by name.
    """

    summaries: tuple[Summary, ...]
    patients: tuple[PatientScore, ...]
    cases: tuple[CaseScore, ...]
    classes: tuple[ClassCount, ...]
    failures: tuple[tuple[str, str], ...]
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON types."""
        return {
            "schema": SCHEMA,
            "summary": [summary.as_dict() for summary in self.summaries],
            "counts": self.counts,
            "classes": [asdict(count) for count in self.classes],
            "confidence_interval": {
                "method": "percentile bootstrap over patients",
                "level": CONFIDENCE,
                "resamples": NUM_RESAMPLES,
            },
            "empty_rule": EMPTY_RULE,
            "failures": [{"case": case, "reason": reason} for case, reason in self.failures],
        }


def evaluate(
    predictions: PathLike,
    references: PathLike,
    output: PathLike,
    *,
    patients: PathLike | None = None,
    ignore: PathLike | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    classes: Sequence[int] | None = None,
    binary: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a folder of label maps; write ``cases.csv``, ``patients.csv``, ``summary.json`` and ``report.html``.

    Cases are matched by name: ``<case>.png`` (or a TIFF) or a volume (``.nii.gz``, ``.nii``, ``.mha``, ``.mhd``,
    ``.nrrd``) among the references, the same or the folder ``<case>/`` of `segment` among the predictions. What has no
    counterpart is listed as a failure. A predicted volume must have its reference's voxels; the order and direction of
    its axes may differ.

    Args:
        predictions: Folder of label maps, or the output of `segment`, which also gives spacing and class names.
        references: Folder of label maps.
        output: Folder for the results; not one of the input folders.
        patients: CSV with the columns ``case`` and ``patient``; without it every case is its own patient.
        ignore: Folder of masks named like the references; pixels above 0 are left out of both maps.
        num_classes: Number of classes with the background; None takes it from the names, or the largest that occurs.
        class_names: Name per class, the background's first; None takes those of `segment`, or ``class 1`` and so on.
        classes: Class ids to score; all others count as background. None scores all.
        binary: References of any value above 0 are class 1.
        progress: Called with the cases done and their number.

    Raises:
        InputError: A folder is missing or empty, or the patients' table is wrong.
        ConfigError: The settings contradict each other.
        OutputError: The results cannot be written.
    """
    if Path(output).resolve() in {Path(predictions).resolve(), Path(references).resolve()}:
        raise ConfigError(f"`output` must be a folder of its own, got the input folder {output}.")
    predicted, reference = find_predictions(predictions), find_labels(references, "references")
    common = sorted(reference.keys() & predicted.keys())
    ignored = find_labels(ignore, "ignore") if ignore is not None else {}
    if ignored and not ignored.keys() & set(common):
        raise InputError(f"`ignore` must hold masks named like the cases, but {ignore} has none for any of them.")
    owners = read_patients(patients, reference.keys(), predicted.keys()) if patients is not None else {}
    names = _class_names(class_names, predicted, common, num_classes)
    chosen = _chosen(classes, num_classes)
    folder = make_folder(output)
    job = _Job(predicted, reference, ignored, num_classes or (len(names) if names else None), names, chosen, binary)
    unused = predicted.keys() - reference.keys()
    failures = [
        (case, f"no prediction{pair_hint(case, unused)}") for case in sorted(reference.keys() - predicted.keys())
    ]
    failures += [(case, "no reference") for case in sorted(predicted.keys() - reference.keys())]
    num_unpaired = len(failures)
    scores: list[list[CaseScore]] = []
    for done, case in enumerate(common):
        try:
            scores.append(job.score(case, owners.get(case, case)))
        except SemiGanError as error:
            failures.append((case, str(error)))
        if progress is not None:
            progress(done + 1, len(common))
    cases = with_absent_classes(scores)
    per_case = per_patient(cases)
    result = Evaluation(
        summaries=tuple(summarize(per_case)),
        patients=tuple(per_case),
        cases=tuple(cases),
        classes=tuple(count_classes(cases)),
        failures=tuple(sorted(failures)),
        counts={
            "cases": len(scores),
            "patients": len({score.patient for score in cases}),
            "failed_cases": len(failures),
            "missing_predictions": len(reference.keys() - predicted.keys()),
            "missing_references": len(predicted.keys() - reference.keys()),
            "unusable_cases": len(failures) - num_unpaired,
            "volumes": sum(case[0].reference_ml is not None for case in scores),
            "cases_with_spacing": sum(
                case[0].reference_ml is not None or predicted[case[0].case].spacing_mm is not None for case in scores
            ),
            "cases_with_ignore_mask": sum(case[0].case in ignored for case in scores),
            "undefined_surfaces": sum(not score.has_surfaces for score in cases),
        },
    )
    _write(folder, result, job)
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
    """The files and how to read them."""

    predicted: Mapping[str, Prediction]
    reference: Mapping[str, Path]
    ignored: Mapping[str, Path]
    num_classes: int | None
    class_names: Sequence[str] | None
    classes: tuple[int, ...] | None
    binary: bool

    def read(self, case: str) -> _Pair:
        """Read a case; what is not to be scored is background."""
        reference, grid = _read(self.reference[case], binary=self.binary)
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
        most = int(label.max())
        if self.num_classes is None and most == UNDECLARED_MASK_VALUE and most not in (self.classes or ()):
            hint = "Pass --binary for masks of 0 and 255" if name == "reference" else "Write class ids"
            raise InputError(f"The {name} must hold class ids, got the value 255. {hint}, or state --num-classes.")
        if self.classes is not None:
            return np.where(np.isin(label, self.classes), label, np.uint8(0))
        if self.num_classes is not None and most >= self.num_classes:
            raise InputError(
                f"The {name} must hold class ids 0 to {self.num_classes - 1}, got values {label.min()} to {most}. For "
                "masks of 0 and 255 pass --binary; to score some of the classes alone, --class."
            )
        return label

    def score(self, case: str, patient: str) -> list[CaseScore]:
        pair = self.read(case)
        scores = score_case(
            pair.predicted,
            pair.reference,
            case=case,
            patient=patient,
            ignore=pair.ignore,
            num_classes=max(self.classes) + 1 if self.classes else self.num_classes,
            class_names=self.class_names,
            spacing_mm=pair.grid.spacing_mm if pair.grid else self.predicted[case].checked_spacing_mm(),
        )
        return [scores[index - 1] for index in self.classes] if self.classes else scores

    def thumbnail(self, case: str, score: float) -> Thumbnail:
        pair = self.read(case)
        predicted, reference, ignore, note = pair.predicted, pair.reference, pair.ignore, ""
        if pair.grid is not None:
            view = worst_slice(predicted, reference, pair.grid, ignore=ignore)
            predicted, reference, ignore, note = view.predicted, view.reference, view.ignore, view.name
        picture = encode_png(disagreement(predicted, reference, ignore=ignore))
        return Thumbnail(case=case, dice=score, picture=picture, note=note)


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


def _chosen(classes: Sequence[int] | None, num_classes: int | None) -> tuple[int, ...] | None:
    chosen = tuple(sorted(set(classes or ())))
    most = (num_classes or 256) - 1
    if chosen and not (chosen[0] >= 1 and chosen[-1] <= most):
        raise ConfigError(f"`classes` must be class ids 1 to {most}, got {', '.join(map(str, chosen))}.")
    return chosen or None


def _class_names(
    given: Sequence[str] | None,
    predicted: Mapping[str, Prediction],
    common: Sequence[str],
    num_classes: int | None,
) -> Sequence[str] | None:
    if given is None:
        found = {predicted[case].class_names for case in common} - {None}
        if len(found) > 1:
            raise InputError("All predictions must have the same class names, got those of several bundles.")
        given = next(iter(found), None)
    if given is not None and num_classes is not None and len(given) != num_classes:
        raise ConfigError(f"`num_classes` must be the number of class names ({len(given)}), got {num_classes}.")
    return given


def _write(folder: Path, result: Evaluation, job: _Job) -> None:
    versions, created = environment(), time.strftime("%Y-%m-%d %H:%M:%S")
    write_text(folder / "cases.csv", _csv_text(CaseScore, result.cases))
    write_text(folder / "patients.csv", _csv_text(PatientScore, result.patients))
    write_json(folder / "summary.json", {**result.to_json(), "created": created, "versions": versions})
    worst: dict[str, float] = {}
    for score in result.cases:
        worst[score.case] = min(score.dice, worst.get(score.case, 1.0))
    chosen = [case for case in sorted(worst, key=worst.__getitem__) if worst[case] < 1.0][:NUM_THUMBNAILS]
    page = render_evaluation_report(
        result.summaries,
        result.patients,
        result.cases,
        classes=result.classes,
        failures=result.failures,
        counts=result.counts,
        worst=[job.thumbnail(case, worst[case]) for case in chosen],
        footer=f"{created}; " + ", ".join(f"{name} {value}" for name, value in versions.items()),
    )
    write_text(folder / "report.html", page)


def _csv_text(kind: type, rows: Sequence[Any]) -> str:
    stream = StringIO()
    writer = csv.DictWriter(stream, fieldnames=[field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _rounded(value) for key, value in asdict(row).items()} for row in rows)
    return stream.getvalue()


def _rounded(value: Any) -> Any:
    return f"{value:.6f}" if isinstance(value, float) else value
