# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: headline numbers, plots, worst cases, patients, cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from monai_semigan.evaluation.empty import EMPTY_RULE
from monai_semigan.evaluation.groups import GroupScore
from monai_semigan.evaluation.table import (
    CONFIDENCE,
    METRIC_NAMES,
    METRICS,
    NUM_RESAMPLES,
    OVERALL,
    VOLUME_METRICS,
    CaseScore,
    ClassCount,
    Metrics,
    PatientScore,
    Summary,
)
from monai_semigan.pictures.figures import MAX_CLASSES, bland_altman_plot, distribution_plot, ranking_plot
from monai_semigan.pictures.overlay import AGREEMENT_COLORS
from monai_semigan.report.strip import Value, make_strips
from monai_semigan.templates import MISSING, render

__all__ = ["Evaluation", "Thumbnail", "render_evaluation_report"]

EVALUATION_SCHEMA = "semigan-evaluation-1"

MAX_HEADLINE_CLASSES = 3
"""With more classes the headline has their mean alone; the table below has all."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A case with a low score.

    Attributes:
        case: Its name.
        dice: The lowest of its classes.
        picture: PNG or JPEG of where its two label maps differ.
        note: What the picture shows.
        is_on_image: It is drawn on what was labelled.
    """

    case: str
    dice: float
    picture: bytes
    note: str = ""
    is_on_image: bool = False


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation:
    """What an evaluation found, and what its page shows; in a notebook it shows itself.

    Attributes:
        summaries: Per class and metric.
        patients: Per patient and class.
        cases: Per case and class.
        classes: Per class, how often it was absent.
        counts: What was counted, by name: ``cases``, ``patients``, ``failed_cases``, ``cases_with_ignore_mask``.
        failures: Case and reason.
        worst: Cases to draw, the worst first.
        has_patients: It is known whose the cases are; otherwise the page speaks of cases alone.
        bundle: Name and version of what made the predictions; empty if unknown.
        inputs: What was scored and how, by name.
        groups: Scores of groups of patients, such as those of a scanner.
        links: Address of each case's viewer or label, relative to the page.
        created: Local time.
        versions: Of what the scores depend on.
    """

    summaries: tuple[Summary, ...]
    patients: tuple[PatientScore, ...]
    cases: tuple[CaseScore, ...]
    classes: tuple[ClassCount, ...]
    counts: Mapping[str, int]
    failures: tuple[tuple[str, str], ...] = ()
    worst: tuple[Thumbnail, ...] = ()
    has_patients: bool = False
    bundle: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[GroupScore, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict, compare=False)
    created: str = field(default="", compare=False)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What is averaged."""
        return "patient" if self.has_patients else "case"

    def to_json(self) -> dict[str, Any]:
        """Return what ``summary.json`` holds, JSON types."""
        return {
            "schema": EVALUATION_SCHEMA,
            "bundle": self.bundle or None,
            "inputs": dict(self.inputs),
            "created": self.created,
            "versions": dict(self.versions),
            "summary": [asdict(summary) for summary in self.summaries],
            "counts": dict(self.counts),
            "classes": [asdict(count) for count in self.classes],
            "confidence_interval": {
                "method": f"percentile bootstrap over {self.unit}s",
                "level": CONFIDENCE,
                "resamples": NUM_RESAMPLES,
            },
            "empty_rule": EMPTY_RULE,
            "failures": [{"case": case, "reason": reason} for case, reason in self.failures],
        }

    def __repr__(self) -> str:
        means = [f"{item.class_name} {_number(item.mean, 'dice')}" for item in self.summaries if item.metric == "dice"]
        scored = f"{self.counts['cases']} cases, {len(self.failures)} not scored"
        return f"Evaluation({scored}; Dice: {', '.join(means) or 'none'})"

    def _repr_html_(self) -> str:
        return render("notebook.html", title="Evaluation report", page=render_evaluation_report(self))


def render_evaluation_report(page: Evaluation) -> str:
    """Return the report as one self-contained HTML page; its links lead to the segmentations beside it."""
    metrics = [metric for metric in METRICS if metric in {item.metric for item in page.summaries}]
    distance = _main_distance(page.summaries)
    plots, plots_note = _plots(page, distance)
    cases = sorted(page.cases, key=lambda case: case.dice)
    strips, ticks = _strips(page)
    has_ood = any(case.ood is not None for case in cases)
    return render(
        "evaluation.html",
        about=" · ".join(part for part in (page.bundle, page.created) if part),
        tiles=_tiles(page, distance),
        counts=_counts(page),
        inputs=page.inputs.items(),
        failures=page.failures,
        unit=page.unit,
        has_patients=page.has_patients,
        has_ood=has_ood,
        has_volumes=any(item.metric in VOLUME_METRICS for item in page.summaries),
        summary_head=("class", "metric", f"{page.unit}s", "mean", "95 % from", "to", "median", "sd"),
        summary=[_summary_row(item) for item in page.summaries],
        strips=strips,
        ticks=ticks,
        plots=plots,
        plots_note=plots_note,
        groups=[tuple(vars(item).values()) for item in page.groups],
        worst=page.worst,
        on_image=any(item.is_on_image for item in page.worst),
        colors={name: AGREEMENT_COLORS[name] for name in _shown_kinds(page)},
        links=page.links,
        empty_rule=EMPTY_RULE,
        classes=[tuple(vars(item).values()) for item in page.classes],
        metric_names=tuple(METRIC_NAMES[metric] for metric in metrics),
        patients=[(item.patient, item.class_name, item.num_cases, *_values(item, metrics)) for item in page.patients],
        cases=[
            (
                case.case,
                *([case.patient] if page.has_patients else []),
                case.class_name,
                *_values(case, metrics),
                *([_number(case.ood, "dice") if case.ood is not None else None] if has_ood else []),
                _absence(case),
            )
            for case in cases
        ],
        addresses=[page.links.get(case.case) for case in cases],
        footer=", ".join(f"{name} {value}" for name, value in page.versions.items()),
    )


def _tiles(page: Evaluation, distance: str) -> list[tuple[str, str, str]]:
    """Value, caption and interval of what the reader wants first."""
    num_classes = len({item.class_name for item in page.summaries} - {OVERALL})
    return [
        (_number(item.mean, item.metric), f"{_headline_name(item.metric)}, {item.class_name}", _interval(item, page))
        for item in page.summaries
        if item.metric in ("dice", distance, "difference_ml")
        and (num_classes <= MAX_HEADLINE_CLASSES or item.class_name == OVERALL)
    ]


def _counts(page: Evaluation) -> list[tuple[int, str, bool]]:
    failed = page.counts["failed_cases"]
    patients = [(page.counts["patients"], "patients", False)] if page.has_patients else []
    return [(page.counts["cases"], "cases", False), *patients, (failed, "not scored", failed > 0)]


def _headline_name(metric: str) -> str:
    return "Volume difference (mL)" if metric == "difference_ml" else METRIC_NAMES[metric]


def _main_distance(summaries: Sequence[Summary]) -> str:
    """Choose millimetres where all patients with a distance have it in millimetres, else pixels."""
    known = {(item.class_name, item.metric): item.num_patients for item in summaries}
    pairs = [(known.get((name, "hd95_mm"), 0), known.get((name, "hd95_px"), 0)) for name, _ in known]
    return "hd95_mm" if any(mm for mm, _ in pairs) and all(mm >= px for mm, px in pairs) else "hd95_px"


def _summary_row(item: Summary) -> tuple[object, ...]:
    values = (item.mean, item.low, item.high, item.median, item.standard_deviation)
    numbers = (_number(value, item.metric) for value in values)
    return (item.class_name, METRIC_NAMES[item.metric], item.num_patients, *numbers)


def _plots(page: Evaluation, distance: str) -> tuple[list[tuple[str, str]], str]:
    """Title and SVG of each plot, and what to say of them; one case is no distribution."""
    if page.counts["cases"] < 2:
        return [], ""
    names, note = _plotted_classes(page.cases)

    def by_class(scores: Sequence[Any], value: Callable[[Any], Any]) -> dict[str, list[Any]]:
        return {
            name: [found for score in scores if score.class_name == name and (found := value(score)) is not None]
            for name in names
        }

    def volumes(score: Metrics) -> tuple[float | None, float | None] | None:
        return None if score.reference_ml is None else (score.predicted_ml, score.reference_ml)

    plots = [
        ("Dice of all cases in order", ranking_plot(by_class(page.cases, lambda score: score.dice), axis="Dice")),
        (
            f"{METRIC_NAMES[distance]} of every case that has one",
            distribution_plot(
                by_class(page.cases, lambda score: getattr(score, distance)), axis=METRIC_NAMES[distance]
            ),
        ),
        (
            "Volumes of every case (Bland-Altman): mean difference, and the limits of 95 %",
            bland_altman_plot(by_class(page.cases, volumes), axis="mL"),
        ),
    ]
    return [(title, svg) for title, svg in plots if svg], note


def _strips(page: Evaluation) -> tuple[list[Any], list[tuple[float, str]]]:
    """Marks of every patient by class; each leads to the patient's case with the lowest Dice."""
    names, _ = _plotted_classes(page.cases)
    worst: dict[tuple[str, str], CaseScore] = {}
    for case in page.cases:
        key = case.patient, case.class_name
        if key not in worst or case.dice < worst[key].dice:
            worst[key] = case
    rows: dict[str, list[Value]] = {name: [] for name in names}
    for item in page.patients:
        lowest = worst.get((item.patient, item.class_name))
        if item.class_name in rows:
            link = None if lowest is None else page.links.get(lowest.case)
            rows[item.class_name].append(Value(item.patient, item.dice, link))
    return make_strips(rows) if page.counts["cases"] > 1 else ([], [])


def _plotted_classes(cases: Sequence[CaseScore]) -> tuple[list[str], str]:
    """Choose the classes with the lowest mean Dice where all would not fit, and say so."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        scores.setdefault(case.class_name, []).append(case.dice)
    if len(scores) <= MAX_CLASSES:
        return list(scores), ""
    lowest = sorted(scores, key=lambda name: sum(scores[name]) / len(scores[name]))[:MAX_CLASSES]
    return lowest, f"The {MAX_CLASSES} classes with the lowest mean Dice, of {len(scores)}."


def _shown_kinds(page: Evaluation) -> list[str]:
    kinds = [] if all(item.is_on_image for item in page.worst) else ["both"]
    kinds += ["reference only", "prediction only"]
    kinds += ["another class"] if len(page.classes) > 1 else []
    return kinds + (["ignored"] if page.counts["cases_with_ignore_mask"] else [])


def _absence(case: CaseScore) -> str:
    if case.is_reference_empty and case.is_prediction_empty:
        return "both"
    return "reference" if case.is_reference_empty else "prediction" if case.is_prediction_empty else ""


def _values(scores: Metrics, metrics: Sequence[str]) -> list[str]:
    return [_number(getattr(scores, metric), metric) for metric in metrics]


def _number(value: float | None, metric: str) -> str:
    """Volumes with one decimal, distances with two: more would pretend."""
    if value is None:
        return MISSING
    return f"{value:.{1 if metric in VOLUME_METRICS else 3 if metric in ('dice', 'iou') else 2}f}"


def _interval(item: Summary, page: Evaluation) -> str:
    if item.low is None:
        return f"no interval from one {page.unit}" if item.num_patients == 1 else "undefined"
    return f"95 % {_number(item.low, item.metric)} to {_number(item.high, item.metric)}"
