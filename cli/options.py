# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["as_json", "bundle", "device", "output_folder", "repairs", "seed", "series_rules"]

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


def series_rules(command: Command) -> Command:
    """Add the rules that DICOM series are chosen by: ``modality``, ``description``, ``min_slices`` and ``plane``."""
    for option in reversed(
        (
            click.option(
                "--modality", multiple=True, help="Only DICOM series of this modality, such as CT. Repeatable."
            ),
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
