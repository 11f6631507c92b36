# SPDX-License-Identifier: Apache-2.0
"""``semigan prepare NAME SOURCE DEST`` and ``semigan prepare phantom DEST``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, show_notes, text_table
from monai_semigan.extras.datasets import DATASETS, Dataset

if TYPE_CHECKING:
    from monai_semigan.workflows.preparing import Prepared

__all__ = ["command"]

destination = click.argument("dest", type=click.Path(path_type=Path))
labels = click.option(
    "--labels",
    type=click.IntRange(0),
    help="Labelled patients of the training; smaller numbers are among larger ones. [default: all]",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace an earlier result in DEST.")
organs = click.option(
    "--organs",
    type=click.Choice(["liver", "all"]),
    default="liver",
    show_default=True,
    help="Classes of abdominal volumes.",
)


class DatasetGroup(click.Group):
    """One command per data set, made from the list of names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["phantom", *DATASETS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in DATASETS:
            return _dataset_command(cmd_name, DATASETS[cmd_name])
        return super().get_command(ctx, cmd_name)


@click.group(name="prepare", cls=DatasetGroup)
def command() -> None:
    """Make a data list of a public data set, or of drawn phantoms.

    Checks that the download follows the published layout and is complete, splits by patient, and writes DEST/data.json
    with what cannot be read where it is. Nothing is downloaded: get the archives from their publishers, and read the
    terms.

    \b
    Examples:
      semigan prepare phantom phantoms --patients 12
      semigan prepare jsrt downloads/JSRT data/jsrt --labels 35
      semigan prepare montgomery downloads/Montgomery data/montgomery --test-only
    """


def _dataset_command(name: str, dataset: Dataset) -> click.Command:
    @click.command(
        name=name,
        help=f"{dataset.title}\n\nSOURCE is the folder that the archives were unpacked to.",
        short_help=dataset.title,
    )
    @click.argument("source", type=click.Path(path_type=Path))
    @destination
    @labels
    @click.option("--test-only", is_flag=True, help="All labelled patients are a test set: nothing is trained on.")
    @options.seed
    @overwrite
    @options.as_json
    def prepare_dataset(
        source: Path,
        dest: Path,
        labels: int | None,
        test_only: bool,
        seed: int,
        overwrite: bool,
        as_json: bool,
        organs: str = "liver",
    ) -> None:
        from monai_semigan.workflows.preparing import prepare

        with progress_bar("prepare", unit=" patients") as progress:
            prepared = prepare(
                name,
                source,
                dest,
                labels=labels,
                seed=seed,
                test_only=test_only,
                organs=organs,  # type: ignore[arg-type]
                overwrite=overwrite,
                progress=progress,
            )
        _show(prepared, as_json=as_json)

    return organs(prepare_dataset) if dataset.has_organs else prepare_dataset


@command.command(name="phantom", short_help="Drawn abdomens: CT to train, MR as an unseen target.")
@destination
@click.option("--patients", type=click.IntRange(3, 10_000), default=12, show_default=True, help="CT patients.")
@click.option("--mr-patients", type=click.IntRange(0, 10_000), default=4, show_default=True, help="MR patients.")
@click.option("--size", type=click.IntRange(16, 1024), default=256, show_default=True, help="Rows and columns.")
@click.option("--slices", type=click.IntRange(16, 1024), default=44, show_default=True, help="Slices per volume.")
@click.option(
    "--format",
    "volume_format",
    type=click.Choice(["nifti", "dicom"]),
    default="nifti",
    show_default=True,
    help="Of the volumes.",
)
@organs
@labels
@options.seed
@overwrite
@options.as_json
def phantom(
    dest: Path,
    patients: int,
    mr_patients: int,
    size: int,
    slices: int,
    volume_format: str,
    organs: str,
    labels: int | None,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Draw abdomens: CT patients to train, MR patients as a target that the training does not see.

    Writes slices, volumes, labels and DEST/data.json. The same seed draws the same patients. About 3 s per patient.

    \b
    Examples:
      semigan prepare phantom phantoms
      semigan prepare phantom phantoms --patients 30 --labels 4 --format dicom
    """
    from monai_semigan.workflows.preparing import prepare_phantom

    with progress_bar("draw", unit=" patients") as progress:
        prepared = prepare_phantom(
            dest,
            patients=patients,
            mr_patients=mr_patients,
            labels=labels,
            seed=seed,
            shape=(size, size, slices),
            volume_format=volume_format,  # type: ignore[arg-type]
            organs=organs,  # type: ignore[arg-type]
            overwrite=overwrite,
            progress=progress,
        )
    _show(prepared, as_json=as_json)


def _show(prepared: Prepared, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(prepared.to_json()))
        return
    rows = [(role, count, prepared.patients[role]) for role, count in prepared.counts.items()]
    click.echo(text_table(("role", "images", "patients"), rows))
    show_notes(prepared.warnings, label="warning: ")
    click.echo(f"data list: {prepared.datalist}")
