# SPDX-License-Identifier: Apache-2.0
"""``semigan pack``."""

from __future__ import annotations

from pathlib import Path

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
@click.option("--overwrite", is_flag=True, help="Replace weights that lie there.")
def command(output: Path, bundle: str, weights: Path, overwrite: bool) -> None:
    """Make a bundle of your own training: configs of BUNDLE, your weights, their digest.

    \b
    Example:
      semigan pack my_bundle -b lung_cxr_segmentation --weights runs/encoder/best.pt
      semigan segment xray.png -b my_bundle -o out
    """
    from monai_semigan.workflows.packing import pack

    click.echo(pack(output, bundle=bundle, weights=weights, overwrite=overwrite))
