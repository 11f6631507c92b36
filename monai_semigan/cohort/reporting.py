# SPDX-License-Identifier: Apache-2.0
"""The report over all cases of a cohort, whoever made them, and where there are references their scores."""

from __future__ import annotations

import csv
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from io import StringIO
from pathlib import Path

import numpy as np

from monai_semigan.atomic import scratch_folder
from monai_semigan.cohort.derivatives import write_derivatives
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import CaseRow
from monai_semigan.errors import InputError
from monai_semigan.evaluation.files import CASE_LABELS
from monai_semigan.evaluation.groups import GroupScore, PatientDice, score_groups
from monai_semigan.files import write_text
from monai_semigan.report.evaluation_report import Evaluation
from monai_semigan.report.segmentation_report import FailureReport, ReportCase, SegmentationReport
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.versions import environment
from monai_semigan.workflows.evaluating import EvaluationOptions, evaluate, write_evaluation_page
from monai_semigan.workflows.finished_cases import read_record
from monai_semigan.workflows.segmenting import read_pictures, write_report

__all__ = ["CohortReport", "report_over_all"]

MAX_PICTURED = 200
"""Cases whose pictures the page holds, those to look at first: a page of thousands of pictures opens in no browser."""


@dataclass(frozen=True, kw_only=True)
class CohortReport:
    """What a cohort came to.

    Attributes:
        segmentation: As in ``report.json``: all cases that are done, refused or failed.
        evaluation: Against the references; None where there are none.
        groups: As in ``groups.csv``.
        unscored: Cases that have a reference and could not be scored, with the reason.
    """

    segmentation: SegmentationReport
    evaluation: Evaluation | None = None
    groups: tuple[GroupScore, ...] = ()
    unscored: dict[str, str] = field(default_factory=dict)


def report_over_all(manifest: Manifest, *, binary: bool = False, before: Collection[str] = ()) -> CohortReport:
    """Write ``report.json`` and ``report.html``; with references ``evaluation/``, and ``groups.csv`` for their groups.

    In the layout of BIDS, also ``derivatives/``.

    Processes that end together may each write the report: whoever finds that cases came in meanwhile writes it again,
    so that the last one is over all.

    Args:
        manifest: Of the cohort.
        binary: References of any value above 0 are class 1.
        before: Names of cases that were done before this call.

    Raises:
        InputError: The cohort was never begun.
        OutputError: A file cannot be written.
    """
    while True:
        counts, rows = manifest.counts(), manifest.rows()
        segmentation = _segmentation(manifest, rows, before)
        write_report(manifest.folder, segmentation)
        if manifest.facts.get("layout") == "bids":
            records = {case.record.case: case.record for case in segmentation.cases}
            write_derivatives(manifest.folder, rows, records, segmentation.bundle)
        evaluation, unscored = _evaluated(manifest, rows, binary=binary)
        groups = _groups(manifest, rows, evaluation)
        if evaluation is not None and groups:
            evaluation = replace(evaluation, groups=groups)
            write_evaluation_page(manifest.folder / "evaluation", evaluation)
        now = manifest.counts()
        if now == counts or now["running"]:  # who is still at work writes it again
            return CohortReport(segmentation=segmentation, evaluation=evaluation, groups=groups, unscored=unscored)


def _segmentation(manifest: Manifest, rows: Sequence[CaseRow], before: Collection[str]) -> SegmentationReport:
    facts, known = manifest.facts, frozenset(before)
    if "bundle" not in facts:
        raise InputError("A cohort must have been begun before it is reported on. Use `semigan cohort run`.")
    done = [row for row in rows if row.state == "done"]
    first = sorted(done, key=lambda row: (row.warnings == 0, row.expected_dice is None, row.expected_dice or 0.0))
    pictured = {row.case for row in first[:MAX_PICTURED]}
    records = [(row.case, read_record(manifest.folder / row.case)) for row in done]
    cases = [
        ReportCase(record=record, pictures=read_pictures(manifest.folder / case) if case in pictured else {})
        for case, record in records
        if record is not None
    ]
    return SegmentationReport(
        bundle=BundleRecord(**facts["bundle"]),
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        versions=environment(),
        settings=facts["request"],
        cases=tuple(cases),
        failures=tuple(
            FailureReport(source=row.case, reason=row.reason) for row in rows if row.state in ("refused", "failed")
        ),
        skipped=tuple(row.case for row in done if row.case in known),
    )


def _evaluated(
    manifest: Manifest, rows: Sequence[CaseRow], *, binary: bool
) -> tuple[Evaluation | None, dict[str, str]]:
    """Score what has a reference. Patients are numbered: their names stay in the manifest."""
    unscored: dict[str, str] = {}
    pairs: list[tuple[CaseRow, Path, Path]] = []
    for row in rows:
        if row.state != "done" or row.reference is None:
            continue
        label = next((path for name in CASE_LABELS if (path := manifest.folder / row.case / name).is_file()), None)
        if label is None:
            unscored[row.case] = "no label map that can be scored was written"
        elif not row.reference.is_file():
            unscored[row.case] = "its reference does not exist"
        else:
            pairs.append((row, label, row.reference))
    if not pairs:
        return None, unscored
    with scratch_folder(manifest.folder, "patients") as scratch:
        has_patients = any(row.patient for row, *_ in pairs)
        table = scratch / "patients.csv"
        table.write_text(_patients_table([row for row, *_ in pairs]))
        found = evaluate(
            [label for _, label, _ in pairs],
            [reference for *_, reference in pairs],
            manifest.folder / "evaluation",
            options=EvaluationOptions(binary=binary, patients=table if has_patients else None),
        )
    unscored |= dict(found.failures)
    manifest.score(_dice_by_case(found))
    return found, unscored


def _patients_table(rows: Sequence[CaseRow]) -> str:
    """Number the patients; a case of an unknown one is nobody else's."""
    numbers: dict[tuple[bool, str], int] = {}
    named = []
    for row in rows:
        owner = (bool(row.patient), row.patient or row.case)
        named.append((row.case, f"patient-{numbers.setdefault(owner, len(numbers) + 1):05d}"))
    return _csv_text(("case", "patient"), named)


def _dice_by_case(evaluation: Evaluation) -> dict[str, float]:
    dice: dict[str, list[float]] = {}
    for score in evaluation.cases:
        dice.setdefault(score.case, []).append(score.dice)
    return {case: float(np.mean(values)) for case, values in dice.items()}


def _groups(manifest: Manifest, rows: Sequence[CaseRow], evaluation: Evaluation | None) -> tuple[GroupScore, ...]:
    names = dict.fromkeys(name for row in rows for name in row.groups)
    columns = {name: {row.case: row.groups.get(name, "") for row in rows} for name in names}
    if evaluation is None or not columns:
        return ()
    patients = {score.case: score.patient for score in evaluation.cases}
    scores = [PatientDice(case, patients[case], dice) for case, dice in _dice_by_case(evaluation).items()]
    found = score_groups(scores, columns)
    head = [part.name for part in fields(GroupScore)]
    write_text(manifest.folder / "groups.csv", _csv_text(head, [tuple(asdict(row).values()) for row in found]))
    return tuple(found)


def _csv_text(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([[f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows])
    return stream.getvalue()
