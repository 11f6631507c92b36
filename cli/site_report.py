# SPDX-License-Identifier: Apache-2.0
"""``semigan site-report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import progress_bar, text_table

__all__ = ["command"]


@click.command(name="site-report", cls=options.TopicCommand)
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@options.bundle
@options.output_folder
@click.option("--most", type=click.IntRange(5, 5000), default=500, show_default=True, help="Images of a site.")
@click.option("--steps", type=click.IntRange(0, 10_000), help="Steps of the inversion. [default: the bundle's]")
@options.option("Volumes", "--modality", metavar="NAME", help="Of the lists' pictures. [default: the bundle's first]")
@options.seed
@options.device
@options.as_json
def command(first: Path, second: Path, bundle: str, output: Path, as_json: bool, **settings: Any) -> None:
    """Tell how the images of two data lists, of two sites, differ for a bundle.

    Compares where they lie in the encoder's latent space, how well the generator draws them, the expected Dice, and the
    Dice where labels are known. Writes sites.html and sites.json; the page shows images of both.

    \b
    Example:
      semigan site-report ours.json theirs.json -b lung_cxr_segmentation -o sites
    """
    from monai_semigan.workflows.site_comparing import SiteOptions, compare_sites

    with progress_bar("look at", unit=" images") as progress:
        result = compare_sites(first, second, output, bundle=bundle, options=SiteOptions(**settings), progress=progress)
    if as_json:
        click.echo(json.dumps(result.to_json()))
        return
    a, b = result.sites
    known = dict.fromkeys((*a.means, *b.means))
    rows = [
        (
            key.replace("_", " "),
            a.means.get(key),
            b.means.get(key),
            result.differences[key].p_value if key in result.differences else None,
        )
        for key in known
    ]
    click.echo(text_table(("measure", a.name, b.name, "p"), rows))
    embedding = result.embedding
    click.echo(
        f"embeddings: distance {embedding.distance:.3f}, {embedding.expected:.3f} by chance, p {embedding.p_value:.3f}"
    )
    click.echo(f"page: {output / 'sites.html'}")
