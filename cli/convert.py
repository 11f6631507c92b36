# SPDX-License-Identifier: Apache-2.0
"""``semigan convert``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monai_semigan.cli import options

__all__ = ["command"]

KINDS = ("semanticgan", "rosinality", "stylegan2-ada")
SHOWN = 10
"""Ignored keys shown; ``--json`` has all."""


@click.command(name="convert")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--num-classes",
    type=click.IntRange(2, 255),
    help="Label classes, background included: fresh label heads. Needed for a generator of images alone.",
)
@click.option("--grey", is_flag=True, help="Turn networks of color images into networks of grey ones.")
@options.seed
@click.option("--overwrite", is_flag=True, help="Replace a file that lies at DEST.")
@options.as_json
def command(
    kind: str,
    sources: tuple[Path, ...],
    dest: Path,
    num_classes: int | None,
    grey: bool,
    seed: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert weights trained elsewhere: checkpoints SOURCE of a kind to the file DEST, for `train gan --start`.

    \b
    Kinds:
      semanticgan    the official SemanticGAN code: the GAN's file, the encoder's, or both
      rosinality     rosinality's StyleGAN2
      stylegan2-ada  StyleGAN2-ADA, or StyleGAN2 of the StyleGAN3 release, exported as plain tensors

    \b
    Examples:
      semigan convert semanticgan gan.pt encoder.pt weights.pt
      semigan convert stylegan2-ada exported.pt start.pt --num-classes 2 --grey
      semigan train gan runs/gan -b my_bundle --data data.json --start start.pt

    Files that carry code are refused. Prints the `network` block to put into a bundle.
    """
    from monai_semigan.workflows.converting import convert

    result = convert(kind, sources, dest, num_classes=num_classes, to_grey=grey, seed=seed, overwrite=overwrite)
    counts = {name: sum(tensor.numel() for tensor in state.values()) for name, state in result.states.items()}
    facts = {
        "output": str(dest),
        "network": result.network,
        "d_pair": result.pair_discriminator,
        "networks": counts,
        "fresh": list(result.fresh),
        "ignored": list(result.ignored),
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, count in counts.items():
        click.echo(f"imported: {name}, {count:,} numbers")
    for text in result.fresh:
        click.echo(f"fresh: {text}")
    for key in result.ignored[:SHOWN]:
        click.echo(f"ignored: {key}")
    if len(result.ignored) > SHOWN:
        click.echo(f"ignored: {len(result.ignored) - SHOWN} more (--json lists all)")
    click.echo(f'"network": {json.dumps(result.network)}')
    if result.pair_discriminator:
        click.echo(f'"d_pair": {json.dumps(result.pair_discriminator)}')
    click.echo(dest)
