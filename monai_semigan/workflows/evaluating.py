# SPDX-License-Identifier: Apache-2.0
"""Score label maps against references: per case, per patient, summary, report."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monai_semigan.errors import ConfigError, SemiGanError
from monai_semigan.evaluation.case import with_absent_classes
from monai_semigan.evaluation.files import pair_hint
from monai_semigan.evaluation.table import METRICS, CaseScore, count_classes, per_patient, summarize
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.report.evaluation_report import Evaluation, render_evaluation_report
from monai_semigan.segmentation.viewer import VIEWER_FILE
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.label_pairs import EvaluationOptions, LabelPairs, Labels, label_paths

__all__ = ["Evaluation", "EvaluationOptions", "evaluate", "write_evaluation_page"]


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
        predictions: Folder of label maps, or the output of `segment` with spacing and names; or one or more files.
        references: Folder of label maps, a file, or a list of files.
        output: Folder for the results; not one of the input folders.
        options: How to score; None for the usual.
        progress: Called with the cases done and their number.

    Raises:
        InputError: A folder is missing or empty, or the patients' table is wrong.
        ConfigError: The settings contradict each other.
        OutputError: The results cannot be written.
    """
    pairs = LabelPairs.find(predictions, references, options or EvaluationOptions())
    places = {path.resolve() for path in (*label_paths(predictions), *label_paths(references))}
    if Path(output).resolve() in places:
        raise ConfigError(f"`output` must be a folder of its own, got the input folder {output}.")
    folder = make_folder(output)
    common, unused = pairs.common, pairs.predicted.keys() - pairs.reference.keys()
    failures = [
        (case, f"no prediction{pair_hint(case, unused)}")
        for case in sorted(pairs.reference.keys() - pairs.predicted.keys())
    ]
    failures += [(case, "no reference") for case in sorted(unused)]
    num_unpaired = len(failures)
    scores: list[list[CaseScore]] = []
    for done, case in enumerate(common):
        try:
            scores.append(pairs.score(case))
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
            "missing_predictions": len(pairs.reference.keys() - pairs.predicted.keys()),
            "missing_references": len(pairs.predicted.keys() - pairs.reference.keys()),
            "unusable_cases": len(failures) - num_unpaired,
            "volumes": sum(case[0].reference_ml is not None for case in scores),
            "cases_with_spacing": sum(
                case[0].reference_ml is not None or pairs.predicted[case[0].case].spacing_mm is not None
                for case in scores
            ),
            "cases_with_ignore_mask": sum(case[0].case in pairs.ignored for case in scores),
            "undefined_surfaces": sum(not score.has_surfaces for score in cases),
        },
        worst=tuple(pairs.worst(cases)),
        has_patients=pairs.options.patients is not None,
        bundle=", ".join(sorted({pairs.predicted[case].bundle for case in common} - {""})),
        inputs=_inputs(predictions, references, pairs.options),
        links={case: link for case in common if (link := _link(_shown(pairs.predicted[case].label), folder))},
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        versions=environment(),
    )
    _write(folder, result)
    return result


def write_evaluation_page(folder: Path, result: Evaluation) -> None:
    """Write ``report.html``.

    Raises:
        OutputError: It cannot be written.
    """
    write_text(folder / "report.html", render_evaluation_report(result))


def _write(folder: Path, result: Evaluation) -> None:
    write_text(folder / "cases.csv", _csv_text(("case", "patient", "class_name"), result.cases))
    write_text(folder / "patients.csv", _csv_text(("patient", "class_name", "num_cases"), result.patients))
    write_json(folder / "summary.json", result.to_json())
    write_evaluation_page(folder, result)


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


def _shown(label: Path) -> Path:
    """What opens a case: the viewer beside its label where there is one, else the label."""
    viewer = label.with_name(VIEWER_FILE)
    return viewer if viewer.is_file() else label


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
