# SPDX-License-Identifier: Apache-2.0
"""``semigan pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options

__all__ = ["command"]


@click.command(name="pack")
@click.argument("output", type=click.Path(path_type=Path, file_okay=False))
@options.bundle
@click.option(
    "--weights",
    required=True,
    type=click.Path(path_type=Path),
    help="best.pt of an encoder's run, or converted weights with an encoder.",
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    help="teacher.pt of `semigan train`, to draw the label beside the generator. [default: as the weights have it]",
)
@click.option("--name", help="Of the new bundle. [default: the folder's]")
@click.option("--version", help="Of the new bundle. [default: 0.1.0]")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that lies there.")
def command(output: Path, bundle: str, **given: Any) -> None:
    """Make a bundle of your own training: configs of BUNDLE, your weights, a card that claims nothing yet.

    \b
    Examples:
      semigan pack my_bundle -b lung_cxr_segmentation --weights runs/encoder/best.pt
      semigan tune -b my_bundle --data data.json --write
      semigan segment xray.png -b my_bundle -o out
    """
    from monai_semigan.workflows.packing import pack

    click.echo(pack(output, bundle=bundle, **given))
