# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "as_json",
    "bundle",
    "device",
    "dicom_results",
    "output_folder",
    "repairs",
    "seed",
    "series_modality",
    "series_rules",
]

bundle = click.option(
    "-b", "--bundle", required=True, help="Name of a shipped bundle (see `semigan info`), or a folder."
)
output_folder = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the results."
)
device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where to compute."
)
seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")

Command = TypeVar("Command", bound=Callable[..., Any])


series_modality = click.option(
    "--modality", multiple=True, help="Only DICOM series of this modality, such as CT. Repeatable."
)


def series_rules(command: Command) -> Command:
    """Add the rules that DICOM series are chosen by, but the modality: ``description``, ``min_slices``, ``plane``."""
    for option in reversed(
        (
            click.option(
                "--description", metavar="REGEX", help="Only DICOM series whose description matches, whatever the case."
            ),
            click.option(
                "--min-slices", type=click.IntRange(1), default=1, show_default=True, help="Only series with as many."
            ),
            click.option(
                "--plane", type=click.Choice(["axial", "coronal", "sagittal"]), help="Only series with such slices."
            ),
        )
    ):
        command = option(command)
    return command


def repairs(command: Command) -> Command:
    """Add the repairs of irregular DICOM series: ``fill_missing`` and ``tilt``."""
    for option in (
        click.option(
            "--tilt",
            type=click.Choice(["refuse", "resample"]),
            default="refuse",
            show_default=True,
            help="What to do with a tilted gantry: straighten the stack by interpolation, or refuse the series.",
        ),
        click.option("--fill-missing", is_flag=True, help="Fill missing slices with copies of the nearest."),
    ):
        command = option(command)
    return command


def dicom_results(command: Command) -> Command:
    """Add what is written for DICOM sources."""
    for option in reversed(
        (
            click.option(
                "--dicom-seg/--no-dicom-seg",
                default=True,
                show_default=True,
                help="Write seg.dcm, a DICOM SEG, for DICOM sources.",
            ),
            click.option(
                "--seg-type",
                type=click.Choice(["BINARY", "LABELMAP"], case_sensitive=False),
                default="BINARY",
                show_default=True,
                help="LABELMAP needs a new PACS.",
            ),
            click.option(
                "--terminology",
                type=click.Choice(["dicom", "slicer"]),
                default="dicom",
                show_default=True,
                help="Which of two codes in use means an anatomical structure.",
            ),
            click.option(
                "--empty-seg",
                type=click.Choice(["skip", "write"]),
                default="skip",
                show_default=True,
                help="What becomes of an empty label.",
            ),
            click.option("--preview", is_flag=True, help="Write preview.dcm, a secondary capture, for DICOM sources."),
        )
    ):
        command = option(command)
    return command
