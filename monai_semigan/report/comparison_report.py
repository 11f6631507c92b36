# SPDX-License-Identifier: Apache-2.0
"""The page, the table and the figure of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

from monai_semigan.pictures.figures import BandPoint, band_picture, band_plot
from monai_semigan.report.comparison_record import VALIDATION, ComparisonRecord, SummaryRecord
from monai_semigan.templates import MISSING, render

__all__ = ["MARK", "comparison_page", "comparison_picture", "comparison_table", "interval"]

MARK = "\N{DAGGER}"
"""Beside a number that is not fair."""

COLUMNS = ("method", "labels", "seed", "set", "patient", "dice", "hd95_px", "steps", "seconds")

AXES = {"x_axis": "labels", "y_axis": "Dice"}


def comparison_page(record: ComparisonRecord) -> str:
    """Return the page, with everything in it."""
    names = list(dict.fromkeys(item.set_name for item in record.summaries))
    return render(
        "comparison.html",
        about=f"{record.created}, {record.budget} for each training, seeds: {record.seeds}",
        notes=[("note", note) for note in record.notes],
        head=("method", "labels", "Dice", "95 % interval", "less U-Net", "95 % interval", "HD95 (px)", "steps", "s"),
        sets=[
            (
                _title(name, record),
                band_plot(_series(record, name), **AXES),
                [_row(item) for item in record.summaries if item.set_name == name],
            )
            for name in names
        ],
        facts=[
            ("network's grid", f"{record.image_size} px"),
            ("classes", str(record.num_classes)),
            ("device", record.device),
            *_start(record),
        ],
        footer=", ".join(f"{key} {value}" for key, value in record.versions.items()),
    )


def comparison_picture(record: ComparisonRecord) -> bytes:
    """Return the figure as a PNG: of the first test set that was scored, else of validation."""
    names = list(dict.fromkeys(item.set_name for item in record.summaries))
    name = next((name for name in names if name != VALIDATION), VALIDATION)
    return band_picture(_series(record, name), x_axis="labels", y_axis=f"Dice ({name})")


def comparison_table(record: ComparisonRecord) -> str:
    """Return all scores as CSV: a row for each patient, who is a number in the set's order."""
    stream = StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)
    for score in record.scores:
        for at, (dice, distance) in enumerate(zip(score.dice, score.hd95_px, strict=True), 1):
            run = score.run
            table.writerow(
                [
                    score.method, run.labels, run.seed, score.set_name, at, f"{dice:.5f}",
                    "" if distance is None else f"{distance:.3f}", run.steps, f"{run.seconds:.1f}",
                ]
            )  # fmt: skip
    return stream.getvalue()


def interval(low: float | None, high: float | None) -> str:
    """Write an interval with three decimals."""
    return MISSING if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _start(record: ComparisonRecord) -> list[tuple[str, str]]:
    if not any(item.method.startswith("ours") for item in record.summaries):
        return []
    base = record.base
    return [("our method's start", "random weights" if base is None else f"{base.name} {base.version}")]


def _title(name: str, record: ComparisonRecord) -> str:
    patients = f"{record.num_patients[name]} patients"
    if name == VALIDATION:
        return f"Validation ({patients}; it chose the checkpoints)"
    times = record.test_scorings.get(name, 0)
    return f"Test set {name.removeprefix('test:')} ({patients}; scored {times} {'time' if times == 1 else 'times'})"


def _row(item: SummaryRecord) -> list[str | float | int | None]:
    return [
        f"{item.method}{' ' + MARK if item.is_marked else ''}",
        item.labels,
        item.dice,
        interval(item.low, item.high),
        MISSING if item.less_unet is None else f"{item.less_unet:+.3f}",
        interval(item.less_unet_low, item.less_unet_high),
        MISSING if item.hd95_px is None else f"{item.hd95_px:.2f}",
        f"{item.steps:.0f}",
        f"{item.seconds:.0f}",
    ]


def _series(record: ComparisonRecord, name: str) -> dict[str, Sequence[BandPoint]]:
    found: dict[str, list[BandPoint]] = {}
    for item in record.summaries:
        if item.set_name == name:
            point = BandPoint(item.labels, item.dice, item.low, item.high, item.is_marked)
            found.setdefault(item.method, []).append(point)
    return dict(found)
