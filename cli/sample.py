# SPDX-License-Identifier: Apache-2.0
"""``semigan sample``."""

from __future__ import annotations

from pathlib import Path

import click

from monai_semigan.cli import options

__all__ = ["command"]


@click.command(name="sample")
@options.bundle
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="PNG file.")
@click.option("-n", "--num-samples", type=click.IntRange(1, 1024), default=32, show_default=True)
@click.option("--columns", type=click.IntRange(1, 64), default=8, show_default=True, help="Pairs per row.")
@click.option(
    "--truncation",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="1: all that was learned, 0: the mean.",
)
@options.seed
@options.device
def command(
    bundle: str, output: Path, num_samples: int, columns: int, truncation: float, seed: int, device: str
) -> None:
    """Draw a grid of generated images, each with its label beside it.

    \b
    Examples:
      semigan sample -b lung_cxr_segmentation -o samples.png
      semigan sample -b lung_cxr_segmentation -o samples.png -n 64 --seed 7 --truncation 0.7
    """
    from monai_semigan.workflows.sampling import sample

    path = sample(
        output,
        bundle=bundle,
        num_samples=num_samples,
        seed=seed,
        truncation_psi=truncation,
        columns=columns,
        device=device,
    )
    click.echo(path)
