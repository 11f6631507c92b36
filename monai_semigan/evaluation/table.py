# SPDX-License-Identifier: Apache-2.0
"""Cases to patients to a summary.

A patient's cases are averaged first, then the patients: a patient with many images counts no more than another. The
confidence interval is a bootstrap over patients. Millimetres and pixels are different metrics, and never averaged
together. Volumes are measured in millimetres and millilitres alone: their voxels are rarely cubes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "CONFIDENCE",
    "METRICS",
    "METRIC_NAMES",
    "NUM_RESAMPLES",
    "OVERALL",
    "VOLUME_METRICS",
    "CaseScore",
    "ClassCount",
    "ClassScore",
    "Metrics",
    "PatientScore",
    "Summary",
    "count_classes",
    "per_patient",
    "summarize",
]

NUM_RESAMPLES = 2000
"""Bootstrap resamples; more would move the interval's ends by a few percent of its width."""

CONFIDENCE = 0.95

MAX_DRAWS = 1_000_000
"""Draws held in memory at once, 16 MB; the result does not depend on it."""

OVERALL = "mean of classes"
"""Class name of the overall rows, where there is more than one foreground class."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What is measured of a class.

    Attributes:
        dice: In [0, 1]; for empty masks see `evaluation.empty`.
        iou: As ``dice``.
        hd95_px: Pixels; None if there is no surface in one of the maps, and in volumes.
        assd_px: As ``hd95_px``.
        hd95_mm: Millimetres; None also where the spacing is unknown.
        assd_mm: As ``hd95_mm``.
        predicted_ml: Volume in the prediction, millilitres; None in images.
        reference_ml: Volume in the reference; None in images.
        difference_ml: Predicted minus reference: above 0 where too much was predicted; None in images.
    """

    dice: float
    iou: float
    hd95_px: float | None = None
    assd_px: float | None = None
    hd95_mm: float | None = None
    assd_mm: float | None = None
    predicted_ml: float | None = None
    reference_ml: float | None = None
    difference_ml: float | None = None


METRIC_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95_px": "HD95 (px)",
    "assd_px": "ASSD (px)",
    "hd95_mm": "HD95 (mm)",
    "assd_mm": "ASSD (mm)",
    "predicted_ml": "Vol. (mL)",
    "reference_ml": "Ref. (mL)",
    "difference_ml": "Diff. (mL)",
}
"""What tables and reports call each field of `Metrics`."""

METRICS = tuple(METRIC_NAMES)
"""Metrics in the order of the tables."""

VOLUME_METRICS = ("predicted_ml", "reference_ml", "difference_ml")
"""Those that only volumes have."""


@dataclass(frozen=True, kw_only=True)
class ClassScore(Metrics):
    """One class of two label maps.

    Attributes:
        class_name: The class.
        is_reference_empty: The class is absent from the reference.
        is_prediction_empty: The class is absent from the prediction.
    """

    class_name: str
    is_reference_empty: bool
    is_prediction_empty: bool

    @property
    def has_surfaces(self) -> bool:
        """Whether both maps have a surface to measure from."""
        return self.hd95_px is not None or self.hd95_mm is not None


@dataclass(frozen=True, kw_only=True)
class CaseScore(ClassScore):
    """One class of one case.

    Attributes:
        case: Name.
        patient: Whose it is.
        ood: How unlike the images of its bundle the case is, from 0 to 1; None if unknown.
    """

    case: str
    patient: str
    ood: float | None = None


@dataclass(frozen=True, kw_only=True)
class PatientScore(Metrics):
    """Mean over a patient's cases, per class; a distance that no case has is None.

    Attributes:
        patient: Id, as the user gave it.
        class_name: The class.
        num_cases: Cases behind ``dice`` and ``iou``.
        num_undefined_surface: Cases without a surface distance, left out of the four distances alone.
    """

    patient: str
    class_name: str
    num_cases: int
    num_undefined_surface: int


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """How often a class was there, over cases.

    Attributes:
        num_both_empty: Cases in which neither map has the class.
        num_reference_empty: Cases in which only the prediction has it.
        num_prediction_empty: Cases in which only the reference has it.
        num_undefined_surface: Cases without a surface distance.
    """

    class_name: str
    num_cases: int
    num_both_empty: int
    num_reference_empty: int
    num_prediction_empty: int
    num_undefined_surface: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One metric of one class over patients.

    Attributes:
        num_patients: Patients with a value.
        mean: Mean over patients; None if all are undefined.
        standard_deviation: Between patients, of the sample; None with fewer than two.
        low: Lower end of the 95 % confidence interval of the mean; None with fewer than two patients.
        high: Upper end.
    """

    class_name: str
    metric: str
    num_patients: int
    mean: float | None
    standard_deviation: float | None
    median: float | None
    low: float | None
    high: float | None


def per_patient(cases: Iterable[CaseScore]) -> list[PatientScore]:
    """Average the cases of each patient and class, in the order of their first appearance."""
    groups: dict[tuple[str, str], list[CaseScore]] = {}
    for case in cases:
        groups.setdefault((case.patient, case.class_name), []).append(case)
    return [
        PatientScore(
            patient=patient,
            class_name=class_name,
            num_cases=len(group),
            num_undefined_surface=sum(not case.has_surfaces for case in group),
            **_means(group),
        )
        for (patient, class_name), group in groups.items()
    ]


def count_classes(cases: Iterable[CaseScore]) -> list[ClassCount]:
    """Count per class in how many cases it is absent, and how many have no surface distance."""
    groups: dict[str, list[CaseScore]] = {}
    for case in cases:
        groups.setdefault(case.class_name, []).append(case)
    return [
        ClassCount(
            class_name=class_name,
            num_cases=len(group),
            num_both_empty=sum(case.is_reference_empty and case.is_prediction_empty for case in group),
            num_reference_empty=sum(case.is_reference_empty and not case.is_prediction_empty for case in group),
            num_prediction_empty=sum(case.is_prediction_empty and not case.is_reference_empty for case in group),
            num_undefined_surface=sum(not case.has_surfaces for case in group),
        )
        for class_name, group in groups.items()
    ]


def summarize(patients: Sequence[PatientScore], *, seed: int = 0) -> list[Summary]:
    """Summarize every class and metric over patients, with a percentile bootstrap (Efron and Tibshirani 1993, 13.3).

    With more than one class, rows of the class `OVERALL` follow: a patient's classes are averaged first, volumes left
    out. There are rows in millimetres and millilitres where a patient has any, and no rows in pixels for volumes alone.
    """
    rows = []
    expected = {"dice", "iou"}  # shown even where no patient has a value
    if any(patient.reference_ml is not None for patient in patients):
        expected |= {"hd95_mm", "assd_mm"}
    if any(patient.reference_ml is None or patient.hd95_px is not None for patient in patients):
        expected |= {"hd95_px", "assd_px"}
    class_names = list(dict.fromkeys(patient.class_name for patient in patients))
    for class_name in class_names:
        members = [patient for patient in patients if patient.class_name == class_name]
        rows += [(class_name, metric, _known([getattr(member, metric) for member in members])) for metric in METRICS]
    if len(class_names) > 1:
        groups: dict[str, list[PatientScore]] = {}
        for patient in patients:
            groups.setdefault(patient.patient, []).append(patient)
        for metric in METRICS[: -len(VOLUME_METRICS)]:
            means = [_mean([getattr(member, metric) for member in group]) for group in groups.values()]
            rows.append((OVERALL, metric, _known(means)))
    return [
        _summary(class_name, metric, values, seed)
        for class_name, metric, values in rows
        if len(values) or metric in expected
    ]


def _summary(class_name: str, metric: str, values: np.ndarray, seed: int) -> Summary:
    low = high = None
    if len(values) > 1:
        ends = np.quantile(_resampled_means(values, seed), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        low, high = float(ends[0]), float(ends[1])
    return Summary(
        class_name=class_name,
        metric=metric,
        num_patients=len(values),
        mean=float(values.mean()) if len(values) else None,
        standard_deviation=float(values.std(ddof=1)) if len(values) > 1 else None,
        median=float(np.median(values)) if len(values) else None,
        low=low,
        high=high,
    )


def _resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Draw as many patients as there are, with repetition, `NUM_RESAMPLES` times; return their means."""
    rng = np.random.default_rng(seed)
    rows = max(1, MAX_DRAWS // len(values))
    counts = [min(rows, NUM_RESAMPLES - done) for done in range(0, NUM_RESAMPLES, rows)]
    return np.concatenate([values[rng.integers(len(values), size=(n, len(values)))].mean(axis=1) for n in counts])


def _known(values: Sequence[float | None]) -> np.ndarray:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _means(cases: Sequence[Metrics]) -> dict[str, Any]:
    return {metric: _mean([getattr(case, metric) for case in cases]) for metric in METRICS}


def _mean(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return float(known.mean()) if len(known) else None
