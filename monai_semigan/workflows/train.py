# SPDX-License-Identifier: Apache-2.0
"""Train the joint GAN, then the encoder: data list and plain settings in, run folder out."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.io.datalist import load_datalist
from monai_semigan.losses.perceptual import MonaiPerceptualDistance
from monai_semigan.networks.checkpoint import file_digest, load_weights
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.start_weights import generator_arguments, read_start
from monai_semigan.ops.precision import resolve_compute_dtype
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.encoder_trainer import EncoderTrainer
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep
from monai_semigan.training.gan_trainer import GanTrainer
from monai_semigan.training.perturb import PerturbSettings
from monai_semigan.training.ranks import current_ranks, joined_ranks
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot
from monai_semigan.training.teacher import TEACHER_NAME, TeacherSettings, load_teacher
from monai_semigan.training.trainer import RunSettings
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.settings import from_mapping
from monai_semigan.workflows.training_data import image_pool, labelled_pool, training_preset

__all__ = ["encoder_trainer", "gan_trainer", "train_encoder", "train_gan"]

logger = logging.getLogger(__name__)


def gan_trainer(
    *,
    network: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    datalist: PathLike,
    run_dir: PathLike,
    domain: str = "chest_xray",
    symmetries: bool = False,
    pair_critic: Mapping[str, Any] | None = None,
    gan: Mapping[str, Any] | None = None,
    augment_image: Mapping[str, Any] | None = None,
    augment_pair: Mapping[str, Any] | None = None,
    perturb_pair: Mapping[str, Any] | None = None,
    teacher: Mapping[str, Any] | None = None,
    start: PathLike | None = None,
    run: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    bfloat16: bool = False,
    progress: Progress | None = None,
) -> GanTrainer:
    """Build the GAN's trainer; call ``run()`` on it.

    Args:
        network: Arguments of `SemiGanSegmenter`.
        preprocessing: Fields of the domain's preset; of a domain of volumes by modality, one: ``{"CT": {...}}``.
        datalist: JSON data list; its labelled and unlabelled entries are used.
        run_dir: The run folder.
        domain: As in a bundle's metadata; it decides the preset.
        symmetries: Also use mirror images and quarter turns of every training image.
        pair_critic: ``num_scales`` and ``base_channels`` of `MultiscaleDiscriminator`.
        gan: Fields of `GanSettings`.
        augment_image: Fields of `AugmentSettings` for D_r.
        augment_pair: Fields of `AugmentSettings` for D_m.
        perturb_pair: Fields of `PerturbSettings` for D_m's images; None for no perturbation.
        teacher: Fields of `TeacherSettings`; None for no teacher.
        start: Weights to start from, as ``semigan convert`` writes them; None for random ones. A network that is not
            among them starts from random ones.
        run: Fields of `RunSettings`.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Continue the run in ``run_dir``.
        bfloat16: Compute convolutions of generator and image critic in bfloat16; weights stay in float32. Where that
            is slow for want of hardware, float32 runs instead, with a warning.
        progress: Called with the images seen and their total.

    Raises:
        CheckpointError: The weights to start from cannot be used.
        ConfigError: A setting is unknown or out of range, or ``start`` is of another network.
        InputError: The data list or one of its files cannot be used.
    """
    chosen, settings = _training_device(device), from_mapping(RunSettings, run or {})
    data = load_datalist(datalist)
    preset = training_preset(domain, preprocessing, network)
    torch.manual_seed(settings.seed)  # the networks' first weights
    segmenter = SemiGanSegmenter(**_without_remarks(network)).to(chosen)
    d_pair = MultiscaleDiscriminator(
        image_channels=segmenter.encoder.image_channels,
        num_classes=segmenter.generator.synthesis.num_classes,
        **_without_remarks(pair_critic or {}),
    ).to(chosen)
    if start is not None:
        _load_start(start, segmenter.generator, segmenter.d_image, d_pair)
    average = copy.deepcopy(segmenter.generator).requires_grad_(False).eval()
    if bfloat16:
        compute_dtype, obstacle = resolve_compute_dtype("bfloat16", chosen)
        if obstacle is not None:
            logger.warning("bfloat16 would be slow here, as %s: the training computes in float32.", obstacle)
        segmenter.generator.synthesis.compute_dtype = segmenter.d_image.compute_dtype = compute_dtype
    settings_image, settings_pair = (
        from_mapping(AugmentSettings, part or {}) for part in (augment_image, augment_pair)
    )
    step = GanStep(
        GanNetworks(segmenter.generator, average, segmenter.d_image, d_pair),
        from_mapping(GanSettings, gan or {}),
        augment_image=settings_image,
        augment_pair=settings_pair,
        perturb_pair=None if perturb_pair is None else from_mapping(PerturbSettings, perturb_pair),
        ranks=current_ranks(),
    )
    return GanTrainer(
        step,
        unlabelled=image_pool(data.unlabelled, preset, symmetries),
        labelled=labelled_pool(data, data.labelled, preset, segmenter.generator.synthesis.num_classes, symmetries),
        run_dir=run_dir,
        settings=settings,
        teacher=None if teacher is None else from_mapping(TeacherSettings, teacher),
        config={
            "network": dict(network),
            "pair_critic": dict(pair_critic or {}),
            "preprocessing": asdict(preset),
            "augment": {"image": asdict(settings_image), "pair": asdict(settings_pair)},
            "perturb_pair": asdict(step.perturb_pair) if step.perturb_pair else None,
            "start": None if start is None else file_digest(start),
            "symmetries": symmetries,
            "bfloat16": bfloat16,
            "data_digest": data.digest(),
        },
        resume=resume,
        progress=progress,
    )


def encoder_trainer(
    *,
    network: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    datalist: PathLike,
    gan_run: PathLike,
    run_dir: PathLike,
    domain: str = "chest_xray",
    symmetries: bool = False,
    encoder: Mapping[str, Any] | None = None,
    perceptual: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: Progress | None = None,
) -> EncoderTrainer:
    """Build the encoder's trainer; call ``run()`` on it. ``best.pt`` in the run folder is the bundle's weight file.

    Args:
        network: Arguments of `SemiGanSegmenter`, as in the GAN's run.
        preprocessing: Fields of the domain's preset; of a domain of volumes by modality, one: ``{"CT": {...}}``.
        datalist: JSON data list; its labelled, unlabelled and validation entries are used.
        gan_run: The GAN's run folder or one of its snapshots; its teacher, if it has one, teaches the encoder too.
        run_dir: The run folder.
        domain: As in the GAN's run, like ``symmetries``.
        symmetries: Also use mirror images and quarter turns of every training image.
        encoder: Fields of `EncoderSettings`.
        perceptual: ``network_type`` and ``pretrained_path`` of MONAI's perceptual loss; None for the image critic's
            features.
        run: Fields of `RunSettings`.
        device: ``auto``, ``cpu`` or ``cuda``.
        resume: Continue the run in ``run_dir``.
        progress: Called with the images seen and their total.

    Raises:
        CheckpointError: ``gan_run`` holds no snapshot, or one of another network.
        ConfigError: A setting is unknown or out of range.
        InputError: The data list or one of its files cannot be used.
    """
    chosen, settings = _training_device(device), from_mapping(RunSettings, run or {})
    data = load_datalist(datalist)
    preset = training_preset(domain, preprocessing, network)
    torch.manual_seed(settings.seed)
    segmenter = SemiGanSegmenter(**_without_remarks(network)).to(chosen)
    snapshot = Path(gan_run) if Path(gan_run).is_file() else latest_snapshot(gan_run)
    if snapshot is None:
        raise CheckpointError(f"`{gan_run}` must hold a snapshot of the GAN. Run `semigan train gan` first.")
    _load_gan(segmenter, snapshot)
    num_classes = segmenter.generator.synthesis.num_classes
    teacher = snapshot.parent / TEACHER_NAME
    step = EncoderStep(
        segmenter,
        from_mapping(EncoderSettings, encoder or {}),
        distance=MonaiPerceptualDistance(**perceptual) if perceptual else None,
        teacher=load_teacher(teacher, device=chosen) if teacher.exists() else None,
        ranks=current_ranks(),
    )
    if not data.validation:
        raise ConfigError(f"`{datalist}` must list validation images: they choose the checkpoint.")
    return EncoderTrainer(
        step,
        unlabelled=image_pool(data.unlabelled, preset, symmetries),
        labelled=labelled_pool(data, data.labelled, preset, num_classes, symmetries),
        validation=labelled_pool(data, data.validation, preset, num_classes),
        run_dir=run_dir,
        settings=settings,
        config={
            "network": dict(network),
            "preprocessing": asdict(preset),
            "gan_snapshot": snapshot.name,
            "symmetries": symmetries,
            "has_teacher": step.teacher is not None,
            "data_digest": data.digest(),
        },
        resume=resume,
        progress=progress,
    )


def train_gan(
    run_dir: PathLike,
    *,
    bundle: str,
    datalist: PathLike,
    start: PathLike | None = None,
    resume: bool = False,
    device: str = "auto",
    total_kimg: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train the GAN with the settings of a bundle's ``configs/train.json``; return the last snapshot.

    Under `torchrun`, the processes train together.
    """
    settings = _training_config(bundle, "train.json", total_kimg)
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
    gan_run: PathLike,
    resume: bool = False,
    device: str = "auto",
    total_kimg: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train the encoder with the settings of ``configs/train_encoder.json``; return the weight file ``best.pt``."""
    settings = _training_config(bundle, "train_encoder.json", total_kimg)
    settings |= {"datalist": datalist, "run_dir": run_dir, "gan_run": gan_run, "resume": resume, "device": device}
    with joined_ranks() as ranks:
        encoder_trainer(**settings, progress=progress if ranks.is_first else None).run()
    return Path(run_dir) / "best.pt"


def _training_config(bundle: str, name: str, total_kimg: float | None) -> dict[str, Any]:
    """Read the trainer's arguments out of a bundle's training file, as data: nothing in it is executed."""
    root = open_bundle(bundle).root
    config = json.loads((root / "configs" / name).read_text())
    settings = {key: value for key, value in config["trainer"].items() if not key.startswith("_")}
    settings = {key: _follow(value, config) for key, value in settings.items()}
    if total_kimg is not None:
        settings["run"] = {**settings.get("run", {}), "total_kimg": total_kimg}
    return settings


def _follow(value: Any, config: Mapping[str, Any]) -> Any:
    """Replace references ``@name`` to top-level entries of the same file, at any depth."""
    if isinstance(value, str) and value.startswith("@"):
        if value[1:] not in config:
            raise ConfigError(f"`{value}` must name a top-level entry of the training file.")
        return _follow(config[value[1:]], config)
    if isinstance(value, Mapping):
        return {key: _follow(item, config) for key, item in value.items()}
    return [_follow(item, config) for item in value] if isinstance(value, list) else value


def _training_device(name: str) -> torch.device:
    device = choose_device(name)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as convolutions have it by default
        torch.backends.cudnn.benchmark = True  # all batches have one shape
    return device


def _load_start(
    path: PathLike, generator: Generator, d_image: ImageDiscriminator, d_pair: MultiscaleDiscriminator
) -> None:
    start = read_start(path)
    wanted = generator_arguments(generator)
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
    load_weights(generator, start.states["generator"], source=path)
    if "d_image" in start.states:
        load_weights(d_image, start.states["d_image"], source=path)
    if "d_pair" in start.states:
        load_weights(d_pair, start.states["d_pair"], source=path)


def _load_gan(segmenter: SemiGanSegmenter, snapshot: Path) -> None:
    networks = load_snapshot(snapshot)["step"]["networks"]
    try:
        segmenter.generator.load_state_dict(networks["generator_ema"])
        segmenter.d_image.load_state_dict(networks["d_image"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"`{snapshot}` must fit the network's settings: {error}.") from error


def _without_remarks(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith("_")}
