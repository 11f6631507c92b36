# SPDX-License-Identifier: Apache-2.0
"""The report of an evaluation: headline numbers, plots, worst cases, patients, cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from monai_semigan.evaluation.empty import EMPTY_RULE
from monai_semigan.evaluation.table import (
    METRICS,
    OVERALL,
    VOLUME_METRICS,
    CaseScore,
    ClassCount,
    PatientScore,
    Summary,
)
from monai_semigan.pictures.figures import MAX_CLASSES, distribution_plot, ranking_plot
from monai_semigan.pictures.overlay import AGREEMENT_COLORS
from monai_semigan.report.page import MISSING, RESEARCH_NOTICE, failure_list, figure, image_tag, page, table

__all__ = ["METRIC_NAMES", "Thumbnail", "render_evaluation_report"]

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
"""How the reports call each of `METRICS`."""

VOLUME_NOTE = "Volumes are the predicted, the reference's, and predicted minus reference. "

COUNT_NAMES = {
    "cases": "cases",
    "patients": "patients",
    "failed_cases": "not scored",
}

MAX_HEADLINE_CLASSES = 3
"""With more classes the headline has their mean alone; the table below has all."""


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A case with a low score: ``picture`` is a PNG of where its two label maps differ, ``note`` says what it shows."""

    case: str
    dice: float
    picture: bytes
    note: str = ""


def render_evaluation_report(
    summaries: Sequence[Summary],
    patients: Sequence[PatientScore],
    cases: Sequence[CaseScore],
    *,
    classes: Sequence[ClassCount],
    counts: Mapping[str, int],
    failures: Sequence[tuple[str, str]] = (),
    worst: Sequence[Thumbnail] = (),
    footer: str = "",
) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        summaries: Per class and metric.
        patients: Per patient and class.
        cases: Per case and class.
        classes: Per class, how often it was absent.
        counts: What was counted, by name.
        failures: Case and reason.
        worst: Cases to draw, the worst first.
        footer: Text for the page's end.
    """
    present = [item.metric for item in summaries]
    metrics = [metric for metric in METRICS if metric in present]
    body = (
        f'<header><h1>Evaluation report</h1><p class="notice">{RESEARCH_NOTICE}</p></header>'
        + _headline(summaries, counts)
        + failure_list("Not scored", failures)
        + _summary_section(summaries)
        + _count_section(classes)
        + _plot_section(cases, _main_distance(summaries))
        + _worst_section(worst, _shown_kinds(len(classes), counts))
        + _patient_section(patients, metrics)
        + _case_section(cases, metrics)
    )
    return page("Evaluation report", body, footer=escape(footer))


def _headline(summaries: Sequence[Summary], counts: Mapping[str, int]) -> str:
    distance = _main_distance(summaries)
    num_classes = len({item.class_name for item in summaries} - {OVERALL})
    tiles = [
        figure(
            f"{_headline_name(item.metric)}, {item.class_name}", _number(item.mean, item.metric), note=_interval(item)
        )
        for item in summaries
        if item.metric in ("dice", distance, "difference_ml")
        and (num_classes <= MAX_HEADLINE_CLASSES or item.class_name == OVERALL)
    ]
    tiles += [
        figure(text, str(counts[name]), is_bad=name == "failed_cases" and counts[name] > 0)
        for name, text in COUNT_NAMES.items()
    ]
    return f'<div class="figures">{"".join(tiles)}</div>'


def _headline_name(metric: str) -> str:
    return "Volume difference (mL)" if metric == "difference_ml" else METRIC_NAMES[metric]


def _main_distance(summaries: Sequence[Summary]) -> str:
    """Choose millimetres where all patients with a distance have it in millimetres, else pixels."""
    known = {(item.class_name, item.metric): item.num_patients for item in summaries}
    pairs = [(known.get((name, "hd95_mm"), 0), known.get((name, "hd95_px"), 0)) for name, _ in known]
    return "hd95_mm" if any(mm for mm, _ in pairs) and all(mm >= px for mm, px in pairs) else "hd95_px"


def _summary_section(summaries: Sequence[Summary]) -> str:
    rows = [
        (
            item.class_name,
            METRIC_NAMES[item.metric],
            item.num_patients,
            *(
                _cell(value, item.metric)
                for value in (item.mean, item.low, item.high, item.median, item.standard_deviation)
            ),
        )
        for item in summaries
    ]
    head = ("class", "metric", "patients", "mean", "95 % from", "to", "median", "sd")
    has_volumes = any(item.metric in VOLUME_METRICS for item in summaries)
    return (
        "<section><h2>Summary over patients</h2><p>A patient's cases are averaged first, then the patients. The "
        "interval of the mean is a percentile bootstrap over patients; it needs at least two, "
        f"and is rough below about ten. {VOLUME_NOTE if has_volumes else ''}</p>"
        + table(head, rows, numeric_from=2, caption="Summary over patients")
        + "</section>"
    )


def _count_section(classes: Sequence[ClassCount]) -> str:
    rows = [
        (
            item.class_name,
            item.num_cases,
            item.num_both_empty,
            item.num_reference_empty,
            item.num_prediction_empty,
            item.num_undefined_surface,
        )
        for item in classes
    ]
    head = ("class", "cases", "absent from both", "only predicted", "only in reference", "distances undefined")
    return (
        f"<section><h2>Empty masks</h2><p>{escape(EMPTY_RULE)}</p>"
        + table(head, rows, numeric_from=1, caption="How often a class is absent")
        + "</section>"
    )


def _plot_section(cases: Sequence[CaseScore], distance: str) -> str:
    names, note = _plotted_classes(cases)

    def by_class(metric: str) -> dict[str, list[float]]:
        return {
            name: [value for case in cases if case.class_name == name and (value := getattr(case, metric)) is not None]
            for name in names
        }

    plots = [
        distribution_plot(by_class("dice"), title="Dice of every case, with median and quartiles", axis="Dice"),
        ranking_plot(by_class("dice"), title="Dice of all cases in order", axis="Dice"),
        distribution_plot(
            by_class(distance),
            title=f"{METRIC_NAMES[distance]} of every case that has one",
            axis=METRIC_NAMES[distance],
        ),
        distribution_plot(
            by_class("difference_ml"),
            title="Predicted minus reference volume of every case",
            axis=_headline_name("difference_ml"),
        ),
    ]
    drawn = "".join(plots)
    return f'<section><h2>Distribution</h2>{note}<div class="plots">{drawn}</div></section>' if drawn else ""


def _plotted_classes(cases: Sequence[CaseScore]) -> tuple[list[str], str]:
    """Choose the classes with the lowest mean Dice where all would not fit, and say so."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        scores.setdefault(case.class_name, []).append(case.dice)
    if len(scores) <= MAX_CLASSES:
        return list(scores), ""
    lowest = sorted(scores, key=lambda name: sum(scores[name]) / len(scores[name]))[:MAX_CLASSES]
    return lowest, f"<p>The {MAX_CLASSES} classes with the lowest mean Dice, of {len(scores)}.</p>"


def _shown_kinds(num_classes: int, counts: Mapping[str, int]) -> list[str]:
    kinds = ["both", "reference only", "prediction only"]
    kinds += ["another class"] if num_classes > 1 else []
    return kinds + (["ignored"] if counts["cases_with_ignore_mask"] else [])


def _worst_section(worst: Sequence[Thumbnail], kinds: Sequence[str]) -> str:
    if not worst:
        return ""
    keys = "".join(
        f'<span class="key"><i style="background: rgb{AGREEMENT_COLORS[name]}"></i>{escape(name)}</span>'
        for name in kinds
    )
    items = "".join(
        f"<figure>{image_tag(item.picture, f'where prediction and reference of {item.case} differ')}"
        f"<figcaption><b>{escape(item.case)}</b> Dice {item.dice:.3f}{_line(item.note)}</figcaption></figure>"
        for item in worst
    )
    return f'<section><h2>Lowest Dice</h2><p>{keys}</p><div class="thumbnails">{items}</div></section>'


def _line(note: str) -> str:
    return f"<br>{escape(note)}" if note else ""


def _patient_section(patients: Sequence[PatientScore], metrics: Sequence[str]) -> str:
    head = ("patient", "class", "cases", *(METRIC_NAMES[metric] for metric in metrics))
    rows = [
        (p.patient, p.class_name, p.num_cases, *(_cell(getattr(p, metric), metric) for metric in metrics))
        for p in patients
    ]
    return f"<section><h2>Patients</h2>{table(head, rows, numeric_from=2, sortable=True, caption='Patients')}</section>"


def _case_section(cases: Sequence[CaseScore], metrics: Sequence[str]) -> str:
    head = ("case", "patient", "class", *(METRIC_NAMES[metric] for metric in metrics), "absent from")
    rows = [
        (c.case, c.patient, c.class_name, *(_cell(getattr(c, metric), metric) for metric in metrics), _absence(c))
        for c in sorted(cases, key=lambda c: c.dice)
    ]
    return (
        "<section><h2>Cases</h2><p>Lowest Dice first; a column's head sorts by it.</p>"
        + table(head, rows, numeric_from=3, sortable=True, caption="Cases")
        + "</section>"
    )


def _absence(case: CaseScore) -> str:
    if case.is_reference_empty and case.is_prediction_empty:
        return "both"
    return "reference" if case.is_reference_empty else "prediction" if case.is_prediction_empty else ""


def _cell(value: float | None, metric: str) -> float | str | None:
    """Volumes with one decimal: more would pretend."""
    return _number(value, metric) if value is not None and metric in VOLUME_METRICS else value


def _number(value: float | None, metric: str) -> str:
    if value is None:
        return MISSING
    return (
        f"{value:.3f}" if metric in ("dice", "iou") else f"{value:.1f}" if metric in VOLUME_METRICS else f"{value:.2f}"
    )


def _interval(item: Summary) -> str:
    if item.low is None:
        return "no interval from one patient" if item.num_patients == 1 else "undefined"
    return f"95 % {_number(item.low, item.metric)} to {_number(item.high, item.metric)}"
