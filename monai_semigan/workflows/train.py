# SPDX-License-Identifier: Apache-2.0
"""Train the joint GAN, then the encoder: a bundle's settings and a data list in, run folder out."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import ConfigError
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.losses.perceptual import MonaiPerceptualDistance
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import resolve_compute_dtype
from monai_semigan.settings import to_json
from monai_semigan.training.encoder_step import EncoderStep
from monai_semigan.training.encoder_task import BEST_NAME, EncoderTask
from monai_semigan.training.gan_step import GanNetworks, GanStep
from monai_semigan.training.gan_task import GanTask
from monai_semigan.training.loop import TrainingLoop
from monai_semigan.training.pool import Symmetries
from monai_semigan.training.ranks import current_ranks, joined_ranks
from monai_semigan.training.settings import EncoderTraining, GanTraining
from monai_semigan.training.teacher import load_teacher
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.train_start import load_gan, load_start, load_trained, take_direct_route, teacher_file
from monai_semigan.workflows.training_data import image_pool, labelled_pool, training_preset
from monai_semigan.workflows.training_files import trainer_settings, training_config

__all__ = ["encoder_trainer", "gan_trainer", "train_encoder", "train_gan", "training_device"]

if TYPE_CHECKING:
    from typing_extensions import Unpack

logger = logging.getLogger(__name__)


class RunOptions(TypedDict, total=False):
    """Options of a training of the encoder, see `train_encoder`."""

    resume: bool
    device: str
    total_kimg: float | None
    teacher: PathLike | None


def gan_trainer(
    *,
    bundle_root: PathLike,
    datalist: PathLike,
    run_dir: PathLike,
    start: PathLike | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: StageProgress | None = None,
    **training: Any,
) -> TrainingLoop:
    """Build the GAN's training; call ``run()`` on it.

    Args:
        bundle_root: The bundle whose network, domain and preprocessing are used.
        datalist: JSON data list; its labelled and unlabelled entries are used.
        run_dir: The run folder.
        start: Weights to start from, as ``semigan convert`` writes them, or a bundle's; None for random ones. A network
            that is not among them starts from random ones, as do a bundle's label heads if the classes are others.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Continue the run in ``run_dir``.
        progress: Called with the stage (``teacher``, ``gan``), the images seen and their total.
        training: Fields of `GanTraining`.

    Raises:
        BundleError: The bundle cannot be used.
        CheckpointError: The weights to start from cannot be used.
        ConfigError: A setting is unknown or out of range, or ``start`` is of another network.
        InputError: The data list or one of its files cannot be used.
    """
    settings = trainer_settings(GanTraining, training, "trainer")
    bundle, data, chosen = open_bundle(bundle_root), load_datalist(datalist), training_device(device)
    preset = training_preset(bundle, settings.modality)
    networks = _gan_networks(bundle, settings, chosen, start)
    step = GanStep(
        networks,
        settings.gan,
        augment_image=settings.augment_image,
        augment_pair=settings.augment_pair,
        perturb_pair=settings.perturb_pair,
        ranks=current_ranks(),
    )
    num_classes = networks.generator.synthesis.num_classes
    teacher = settings.teacher and settings.teacher.as_direct_route(bundle.network)
    task = GanTask(
        step,
        unlabelled=image_pool(data.unlabelled, preset, settings.symmetries),
        labelled=labelled_pool(data, data.labelled, preset, num_classes, settings.symmetries),
        settings=settings.run,
        teacher=teacher,
        config={
            **_facts(bundle, data, settings.symmetries, preset),
            "d_pair": to_json(settings.d_pair),
            "augment": {"image": to_json(settings.augment_image), "pair": to_json(settings.augment_pair)},
            "perturb_pair": to_json(settings.perturb_pair),
            "start": None if start is None else file_digest(start),
            "bfloat16": settings.bfloat16,
        },
    )
    return TrainingLoop(task, run_dir, resume=resume, progress=progress)


def encoder_trainer(
    *,
    bundle_root: PathLike,
    datalist: PathLike,
    gan_run: PathLike | None,
    run_dir: PathLike,
    start: PathLike | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: StageProgress | None = None,
    **training: Any,
) -> TrainingLoop:
    """Build the encoder's training; call ``run()`` on it. ``best.pt`` in the run folder is the bundle's weight file.

    Args:
        bundle_root: The bundle, as in the GAN's run.
        datalist: JSON data list; its labelled, unlabelled and validation entries are used.
        gan_run: The GAN's run folder or one of its snapshots; its teacher, if it has one, teaches the encoder too, and
            is the direct route of a network with one. None takes generator and discriminator from ``start``.
        run_dir: The run folder.
        start: A bundle's weights, whose encoder the training starts from as far as it fits, at ``trunk_rate`` of the
            learning rate; None for random weights.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Continue the run in ``run_dir``.
        progress: Called with the stage (``encoder``), the images seen and their total.
        training: Fields of `EncoderTraining`.

    Raises:
        BundleError: The bundle cannot be used.
        CheckpointError: ``gan_run`` holds no snapshot, or one of another network; or ``start`` does not fit.
        ConfigError: A setting is unknown or out of range, there is neither ``gan_run`` nor ``start``, or the network
            has a direct route, but there is no teacher for it.
        InputError: The data list or one of its files cannot be used.
    """
    settings = trainer_settings(EncoderTraining, training, "trainer")
    bundle, data, chosen = open_bundle(bundle_root), load_datalist(datalist), training_device(device)
    preset = training_preset(bundle, settings.modality)
    torch.manual_seed(settings.run.seed)  # the networks' first weights
    segmenter = SemiGanSegmenter(**to_json(bundle.network)).to(chosen)
    snapshot = None if gan_run is None else load_gan(segmenter, gan_run)
    started = load_trained(segmenter, start, with_gan=snapshot is None)
    if not data.validation:
        raise ConfigError(f"`{datalist}` must list validation images: they choose the checkpoint.")
    taught_by, perceptual = teacher_file(settings, snapshot), settings.perceptual
    teacher = load_teacher(taught_by, device=chosen) if taught_by else None
    take_direct_route(segmenter, bundle.network, teacher, started)
    step = EncoderStep(
        segmenter,
        settings.encoder,
        distance=MonaiPerceptualDistance(**to_json(perceptual)) if perceptual else None,
        teacher=teacher,
        ranks=current_ranks(),
        started=started,
    )
    num_classes = segmenter.generator.synthesis.num_classes
    task = EncoderTask(
        step,
        unlabelled=image_pool(data.unlabelled, preset, settings.symmetries),
        labelled=labelled_pool(data, data.labelled, preset, num_classes, settings.symmetries),
        validation=labelled_pool(data, data.validation, preset, num_classes),
        settings=settings.run,
        config={
            **_facts(bundle, data, settings.symmetries, preset),
            "gan_snapshot": snapshot and {"file": snapshot.name, "sha256": file_digest(snapshot)},
            "perceptual": to_json(perceptual),
            "start": None if start is None else file_digest(start),
            "teacher": taught_by and file_digest(taught_by),
        },
    )
    return TrainingLoop(task, run_dir, resume=resume, progress=progress)


def train_gan(
    run_dir: PathLike,
    *,
    bundle: str,
    datalist: PathLike,
    start: PathLike | None = None,
    resume: bool = False,
    device: str = "auto",
    total_kimg: float | None = None,
    progress: StageProgress | None = None,
) -> Path:
    """Train the GAN with the settings of a bundle's ``configs/train.json``; return the last snapshot.

    Under `torchrun`, the processes train together.

    Args:
        run_dir: The run folder.
        bundle: Shipped name or folder.
        datalist: JSON data list.
        start: Weights to start from; None for those that the bundle's file names, if it does.
        resume: Continue the run in ``run_dir``.
        device: ``auto``, ``cpu`` or ``cuda``.
        total_kimg: Thousands of images; None for the bundle's. The teacher never sees more.
        progress: Called with the stage (``teacher``, ``gan``), the images seen and their total.
    """
    settings = training_config(bundle, "train.json", total_kimg)
    settings |= {"datalist": datalist, "run_dir": run_dir, "resume": resume, "device": device}
    if start is not None:
        settings["start"] = start
    with joined_ranks() as ranks:
        return gan_trainer(**settings, progress=progress if ranks.is_first else None).run()


def train_encoder(
    run_dir: PathLike,
    *,
    bundle: str,
    datalist: PathLike,
    gan_run: PathLike | None = None,
    start: PathLike | None = None,
    progress: StageProgress | None = None,
    **options: Unpack[RunOptions],
) -> Path:
    """Train the encoder with the settings of ``configs/train_encoder.json``; return the weight file ``best.pt``.

    Args:
        run_dir: The run folder.
        bundle: Shipped name or folder.
        datalist: JSON data list.
        gan_run: The GAN's run folder or one of its snapshots; None takes generator and discriminator from ``start``.
        start: A bundle's weights to start from; None for those that the bundle's file names, if it does.
        progress: Called with the stage (``encoder``), the images seen and their total.
        options: ``resume``, ``device`` and ``total_kimg``, as of `train_gan`; ``teacher``, a file of a trained teacher,
            None for that of the GAN's run.
    """
    settings = training_config(bundle, "train_encoder.json", options.pop("total_kimg", None))
    teacher = options.pop("teacher", None)
    if teacher is not None:
        settings["teacher"] = str(teacher)
    settings |= {"datalist": datalist, "run_dir": run_dir, "gan_run": gan_run, "resume": False, "device": "auto"}
    settings |= options
    if start is not None:
        settings["start"] = start
    with joined_ranks() as ranks:
        encoder_trainer(**settings, progress=progress if ranks.is_first else None).run()
    return Path(run_dir) / BEST_NAME


def _facts(bundle: Bundle, data: Datalist, symmetries: Symmetries, preset: Any) -> dict[str, Any]:
    """What both trainings write down of bundle and data."""
    return {
        "network": to_json(bundle.network),
        "preprocessing": to_json(preset),
        "symmetries": symmetries,
        "data_digest": data.digest(),
    }


def training_device(name: str) -> torch.device:
    """Choose a device, set up for training."""
    device = choose_device(name)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have it by default
        torch.backends.cudnn.benchmark = True  # all batches have one shape
    return device


def _gan_networks(bundle: Bundle, settings: GanTraining, device: torch.device, start: PathLike | None) -> GanNetworks:
    torch.manual_seed(settings.run.seed)  # the networks' first weights
    segmenter = SemiGanSegmenter(**to_json(bundle.network)).to(device)
    generator, d_image = segmenter.generator, segmenter.d_image
    d_pair = MultiscaleDiscriminator(
        image_channels=segmenter.encoder.image_channels,
        num_classes=generator.synthesis.num_classes,
        downsampling=generator.synthesis.downsampling,
        **to_json(settings.d_pair),
    ).to(device)
    networks = GanNetworks(generator, generator, d_image, d_pair)
    if start is not None:
        load_start(start, networks)
    average = copy.deepcopy(generator).requires_grad_(False).eval()
    if settings.bfloat16:
        compute_dtype, obstacle = resolve_compute_dtype("bfloat16", device)
        if obstacle is not None:
            logger.info("bfloat16 would be slow here, as %s: the training computes in float32.", obstacle)
        generator.synthesis.compute_dtype = d_image.compute_dtype = compute_dtype
    return GanNetworks(generator, average, d_image, d_pair)
