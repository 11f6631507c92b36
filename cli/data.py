# SPDX-License-Identifier: Apache-2.0
"""``semigan data``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, show_notes, text_table

if TYPE_CHECKING:
    from monai_semigan.workflows.listing import DatalistSummary

__all__ = ["command"]


@click.command(name="data", cls=options.TopicCommand)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--masks",
    metavar="DIR|PATTERN",
    help="Folder of masks named like the images, or a pattern relative to an image's folder such as "
    "'{stem}_mask.png' or '../masks/{stem}.*'. [default: masks beside their images]",
)
@click.option(
    "--csv",
    "table",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Table with a column image, and any of patient_id, label, split, source.",
)
@click.option(
    "--patient-pattern",
    metavar="REGEX",
    help="Its one group is the patient, searched in files' names; with a / in whole paths.",
)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the labelled patients.",
)
@click.option(
    "--test",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the labelled patients.",
)
@click.option(
    "--label-values",
    type=click.Choice(["binary", "classes"]),
    help="Masks hold 0 and a structure, or class ids. [default: what they hold]",
)
@click.option("--skip-bad", is_flag=True, help="Leave out images that cannot be used.")
@options.seed
@options.option(
    "Output", "-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The data list."
)
@options.option("Output", "--overwrite", is_flag=True, help="Replace an existing data list.")
@options.as_json
def command(
    images: tuple[Path, ...],
    masks: str | None,
    table: Path | None,
    patient_pattern: str | None,
    validation: float,
    test: float,
    label_values: str | None,
    skip_bad: bool,
    seed: int,
    output: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a data list of your own images and masks, for `semigan train`.

    IMAGES are files and folders. Masks are found by name; images without one are trained on alone. Every file is read,
    patients are kept on one side of the split, and nothing is written unless everything is right.

    \b
    Examples:
      semigan data images/ --masks masks/ -o data.json
      semigan data study/ --masks '{stem}_mask.png' --patient-pattern '^(p\\d+)' -o data.json
      semigan data images/ --csv cases.csv --test 0.2 -o data.json
    """
    from monai_semigan.workflows.listing import DatalistOptions, make_datalist

    chosen = DatalistOptions(
        patient_pattern=patient_pattern,
        validation=validation,
        test=test,
        seed=seed,
        label_values=label_values,  # type: ignore[arg-type]
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    with progress_bar("read", unit=" images") as progress:
        summary = make_datalist(images, masks=masks, csv=table, output=output, options=chosen, progress=progress)
    _show(summary, as_json=as_json)


def _show(summary: DatalistSummary, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary.to_json()))
        return
    rows = [(role, count, summary.patients[role]) for role, count in summary.counts.items()]
    click.echo(text_table(("role", "images", "patients"), rows))
    if summary.classes:
        click.echo()
        classes = [(str(index), count) for index, count in summary.classes.items()]
        click.echo(text_table(("class", "masks that show it"), classes))
    click.echo()
    click.echo(f"label values: {summary.label_values}")
    click.echo(f"patients by: {summary.patient_rule}")
    for name, reason in summary.bad.items():
        click.echo(f"left out: {name}: {reason}", err=True)
    show_notes(summary.warnings, label="warning: ")
    click.echo(f"data list: {summary.datalist}")
