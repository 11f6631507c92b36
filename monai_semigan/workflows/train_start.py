# SPDX-License-Identifier: Apache-2.0
"""What a training starts from: converted weights, a bundle's, a GAN's run, a teacher."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.networks.checkpoint import load_fitting, load_weights, part_of
from monai_semigan.networks.checkpoint_file import named_weights, read_checkpoint, read_state_dict
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.growing import as_of_finer, halvings_between
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.networks.start_weights import generator_arguments, read_start
from monai_semigan.training.gan_step import GanNetworks
from monai_semigan.training.settings import EncoderTraining
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot
from monai_semigan.training.teacher import TEACHER_NAME, LabelTeacher
from monai_semigan.types import PathLike

__all__ = ["load_gan", "load_start", "load_trained", "take_direct_route", "teacher_file"]

logger = logging.getLogger(__name__)

OF_A_GAN = "Give the folder of a GAN's run, or one of its snapshots."
"""What to do about another file: the user gave it, so it is never to be deleted."""


def load_start(path: PathLike, networks: GanNetworks) -> None:
    """Load converted weights, which must fit; or a bundle's, as far as they fit.

    Its label heads may be of other classes, and its images coarser: the finest blocks start anew then.
    """
    if "is_trained" in read_checkpoint(path):  # of a bundle
        state = read_state_dict(path)
        halvings = halvings_between(networks.generator, state)
        load_fitting(networks.generator, part_of(state, "generator"), source=path)
        load_fitting(networks.d_image, as_of_finer(part_of(state, "d_image"), halvings), source=path)
        return
    start = read_start(path)
    wanted = generator_arguments(networks.generator)
    differences = [
        f"{key} {start.network.get(key)} instead of {value}"
        for key, value in wanted.items()
        if start.network.get(key) != value
    ]
    if differences:
        raise ConfigError(
            f"`{path}` must fit the network in the bundle's configs, but has {'; '.join(differences)}. Put the "
            "`network` that `semigan convert` printed into a copy of the bundle, or convert with other --num-classes."
        )
    for name in ("generator", "d_image", "d_pair"):
        if name in start.states:
            load_weights(networks.named()[name], start.states[name], source=path)


def teacher_file(settings: EncoderTraining, snapshot: Path | None) -> Path | None:
    """Return the file of the teacher that was asked for, or else of the GAN's run, if that has one."""
    if settings.teacher is not None or snapshot is None:
        return settings.teacher
    beside = snapshot.parent / TEACHER_NAME
    return beside if beside.exists() else None


def take_direct_route(
    segmenter: SemiGanSegmenter, network: NetworkSettings, teacher: LabelTeacher | None, started: Collection[str]
) -> None:
    """Make the teacher the direct route of a network that has one; without a teacher, what it started from stays."""
    if not network.direct_widths:
        return
    assert isinstance(segmenter.encoder, Encoder), "others have no direct route"
    direct = segmenter.encoder.direct
    assert direct is not None
    if teacher is None:
        if {f"direct.{name}" for name in direct.state_dict()} <= set(started):
            return
        raise ConfigError(
            "A network with a direct route (`direct_widths`) must have a teacher, which becomes it: give `teacher` in "
            "train.json, or --teacher."
        )
    wanted = {
        "network": "label_unet",
        "features": list(network.direct_widths),
        "downsampling": network.downsampling,
    }
    if any(teacher.sizes[name] != value for name, value in wanted.items()):
        raise ConfigError(
            f"The teacher must have the network's `direct_widths` {wanted['features']} and `downsampling` "
            f"{network.downsampling}, got {teacher.sizes}. Give one that was trained with this network's settings."
        )
    load_weights(direct, teacher.net.state_dict(), source="the teacher")


def load_gan(segmenter: SemiGanSegmenter, gan_run: PathLike) -> Path:
    """Load generator and discriminator of a GAN's run; return its snapshot."""
    snapshot = Path(gan_run) if Path(gan_run).is_file() else latest_snapshot(gan_run)
    if snapshot is None:
        raise CheckpointError(f"`{gan_run}` must hold a snapshot of the GAN. Run `semigan train gan` first.")
    try:
        networks = load_snapshot(snapshot, remedy=OF_A_GAN)["step"]["networks"]
        parts = {name: networks[name] for name in ("generator_ema", "d_image")}
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"`{snapshot}` must hold the networks of a GAN's run. {OF_A_GAN}") from error
    for network, name in ((segmenter.generator, "generator_ema"), (segmenter.d_image, "d_image")):
        load_weights(network, named_weights(parts[name], source=snapshot, name=name), source=snapshot)
    return snapshot


def load_trained(segmenter: SemiGanSegmenter, start: PathLike | None, *, with_gan: bool) -> frozenset[str]:
    """Load the encoder of a bundle's weights as far as it fits, and the rest if asked; return the encoder's names."""
    if start is None:
        if with_gan:
            raise ConfigError(
                "An encoder must have a generator: give the GAN's run (`gan_run`, --gan) or the weights of a bundle "
                "(`start`, --start)."
            )
        return frozenset()
    state = read_state_dict(start)
    if with_gan:
        load_weights(segmenter.generator, part_of(state, "generator"), source=start)
        load_weights(segmenter.d_image, part_of(state, "d_image"), source=start)
    halvings = halvings_between(segmenter.generator, state)
    loaded = load_fitting(segmenter.encoder, as_of_finer(part_of(state, "encoder"), halvings), source=start)
    logger.info("%d of the encoder's %d tensors were loaded", len(loaded), len(segmenter.encoder.state_dict()))
    return loaded
