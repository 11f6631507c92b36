# SPDX-License-Identifier: Apache-2.0
"""``semigan train gan``, ``semigan train encoder`` and ``semigan train teacher``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from monai_semigan.cli import options
from monai_semigan.cli.output import stage_bars
from monai_semigan.errors import ConfigError

__all__ = ["command"]

run_dir = click.argument("run_dir", type=click.Path(path_type=Path, file_okay=False))
data = click.option(
    "--data",
    "datalist",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON data list; `semigan train --help` shows one.",
)
resume = click.option("--resume", is_flag=True, help="Continue the run that lies in RUN_DIR from its latest snapshot.")
kimg = click.option(
    "--kimg",
    type=click.FloatRange(min=0, min_open=True),
    help="Thousands of images, also the most that the teacher sees. [default: the bundle's]",
)


@click.group(name="train")
def command() -> None:
    """Train on your own images, with a bundle's settings: first the GAN, then the encoder.

    \b
    Examples:
      semigan train gan runs/gan -b lung_cxr_segmentation --data data.json
      semigan train gan runs/gan -b lung_cxr_segmentation --data data.json --resume
      semigan train encoder runs/encoder -b lung_cxr_segmentation --data data.json --gan runs/gan

    \b
    A data list; paths are relative to "root", and "root" to the file:
      {"schema": "semigan-datalist-1", "root": "images", "label_values": "binary",
       "labelled": [{"image": "a.png", "label": "a_mask.png", "patient_id": "1"}],
       "unlabelled": [{"image": "b.png", "patient_id": "2"}],
       "validation": [{"image": "c.png", "label": "c_mask.png", "patient_id": "3"}]}

    \b
    Several GPUs (or processes) together, with the same options:
      torchrun --nproc-per-node 4 -m monai_semigan.cli.main train gan runs/gan -b lung_cxr_segmentation --data data.json
    """


@command.command()
@run_dir
@options.bundle
@data
@click.option(
    "--start", type=click.Path(path_type=Path), help="Weights to start from: a bundle's, or of `semigan convert`."
)
@resume
@kimg
@options.device
def gan(
    run_dir: Path,
    bundle: str,
    datalist: Path,
    start: Path | None,
    resume: bool,
    kimg: float | None,
    device: str,
) -> None:
    """Train the teacher, then generator and discriminators, on unlabelled and labelled images."""
    from monai_semigan.workflows.train import train_gan

    _require_run(run_dir, resume)
    with stage_bars("train ", unit=" kimg", divisor=1000) as progress:
        path = train_gan(
            run_dir,
            bundle=bundle,
            datalist=datalist,
            start=start,
            resume=resume,
            device=device,
            total_kimg=kimg,
            progress=progress,
        )
    _announce(path)


@command.command()
@run_dir
@options.bundle
@data
@click.option(
    "--gan",
    "gan_run",
    type=click.Path(path_type=Path),
    help="The GAN's run folder or a snapshot. [default: the networks of --start]",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Weights of a bundle, whose encoder learns on: models/model.pt, or best.pt of another run.",
)
@click.option(
    "--teacher", type=click.Path(path_type=Path), help="A trained teacher's file. [default: that of the GAN's run]"
)
@resume
@kimg
@options.device
def encoder(
    run_dir: Path,
    bundle: str,
    datalist: Path,
    gan_run: Path | None,
    kimg: float | None,
    **options: Any,
) -> None:
    """Train the encoder for a trained GAN; best.pt in RUN_DIR is the weight file."""
    from monai_semigan.workflows.train import train_encoder

    _require_run(run_dir, bool(options["resume"]))
    with stage_bars("train ", unit=" kimg", divisor=1000) as progress:
        path = train_encoder(
            run_dir,
            bundle=bundle,
            datalist=datalist,
            gan_run=gan_run,
            total_kimg=kimg,
            progress=progress,
            **options,
        )
    _announce(path)


@command.command()
@run_dir
@options.bundle
@data
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps. [default: the bundle's]")
@click.option("--seed", type=options.SEEDS, help="Of everything random. [default: the bundle's]")
@options.device
def teacher(run_dir: Path, bundle: str, **given: Any) -> None:
    """Train the teacher alone, on labelled images; `train gan` in the same RUN_DIR takes it over.

    A training that was ended goes on with the same command.

    \b
    For a bundle that is trained already, a new direct route:
      semigan train teacher runs/teacher -b my_bundle --data data.json
      semigan pack new_bundle -b my_bundle --weights my_bundle/models/model.pt --teacher runs/teacher/teacher.pt
      semigan tune -b new_bundle --data data.json --write
    """
    from monai_semigan.workflows.teaching import teach

    with stage_bars("train ", unit=" kimg", divisor=1000) as progress:
        path = teach(run_dir, bundle=bundle, progress=progress, **given)
    _announce(path)


def _require_run(run_dir: Path, resume: bool) -> None:
    """Refuse to resume where no run lies: a mistyped folder would start a new one in silence."""
    from monai_semigan.training.run_folder import CONFIG_NAME

    if resume and not (run_dir / CONFIG_NAME).exists():
        raise ConfigError(f"`{run_dir}` must hold a run to resume, but holds none. Leave out --resume to start one.")


def _announce(path: Path) -> None:
    """Print where the result is, once: `torchrun` runs the command in every process."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(path)
