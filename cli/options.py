# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["as_json", "bundle", "device", "output_folder", "seed"]

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
