# SPDX-License-Identifier: Apache-2.0
"""``semigan evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

__all__ = ["command"]

SOME_CASES_FAILED = 3


@click.command(name="evaluate", cls=options.TopicCommand)
@click.option(
    "--predictions", required=True, type=click.Path(path_type=Path), help="Label maps, or the output of segment."
)
@click.option(
    "--references", required=True, type=click.Path(path_type=Path), help="Folder of label maps, or one label map."
)
@click.option("--patients", type=click.Path(path_type=Path), help="CSV with the columns case,patient.")
@click.option(
    "--ignore",
    type=click.Path(path_type=Path),
    help="Folder of masks named like the references; pixels above 0 are left out.",
)
@click.option(
    "--num-classes", type=click.IntRange(2, 256), help="Number of classes. [default: the largest that occurs]"
)
@click.option(
    "--class",
    "classes",
    type=click.IntRange(1, 255),
    multiple=True,
    help="Score this class id alone; others are background. Can be repeated.",
)
@click.option(
    "--binary",
    is_flag=True,
    help="References of any value above 0 are class 1, as in masks of 0 and 255; predictions of 0 and 255 too.",
)
@options.output_folder
@options.option(
    "Output",
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of what was labelled, named like the references: the report draws errors on it.",
)
@options.as_json
def command(predictions: Path, references: Path, output: Path, as_json: bool, **settings: Any) -> int:
    """Score label maps: Dice, IoU, HD95 and ASSD per case, then per patient with a bootstrap interval.

    Label maps are images (PNG, TIFF) or volumes (NIfTI, MHA, NRRD), matched by name: <case>.png, <case>.nii.gz; two
    files are a pair, whatever their names. Writes cases.csv, patients.csv, summary.json and report.html. Distances of
    images are in pixels, and in mm where segment knew the spacing; those of volumes in mm, beside volumes in mL. A
    predicted volume must have its reference's voxels, in any axis order. A class absent from both maps scores Dice 1,
    from one of them 0.

    \b
    Examples:
      semigan evaluate --predictions out --references masks -o scores --binary
      semigan evaluate --predictions out --references masks -o scores --patients patients.csv
      semigan evaluate --predictions livers --references organs -o scores --class 1

    Exit code 3: some cases could not be scored, or have no counterpart; the report lists them.
    """
    from monai_semigan.workflows.evaluating import EvaluationOptions, evaluate

    chosen = EvaluationOptions(**settings)
    with progress_bar("evaluate", unit=" cases") as progress:
        result = evaluate(predictions, references, output, options=chosen, progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_json()))
    else:
        rows = [(s.class_name, s.metric, s.num_patients, s.mean, s.low, s.high) for s in result.summaries]
        if rows:
            click.echo(text_table(("class", "metric", f"{result.unit}s", "mean", "95 % from", "to"), rows))
        for case, reason in result.failures:
            click.echo(f"not scored: {case}: {reason}", err=True)
        counts = result.counts
        of = f" of {counts['patients']} patients" if result.has_patients else ""
        if counts["undefined_surfaces"]:
            click.echo(
                f"{counts['undefined_surfaces']} surface distance(s) undefined: the class is absent from a label map"
            )
        click.echo(f"{counts['cases']} cases{of} scored, {len(result.failures)} not; report: {output / 'report.html'}")
    return SOME_CASES_FAILED if result.failures else 0
