# SPDX-License-Identifier: Apache-2.0
"""Train a teacher by itself: before a GAN, or for a bundle whose generator and encoder are trained already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError
from monai_semigan.files import RunLock, make_folder
from monai_semigan.io.datalist import load_datalist
from monai_semigan.training.settings import GanTraining
from monai_semigan.training.teacher import TEACHER_NAME, TeacherSettings
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.train import training_device
from monai_semigan.workflows.training_data import image_pool, labelled_pool, training_preset
from monai_semigan.workflows.training_files import bundle_training

__all__ = ["teach"]


def teach(
    run_dir: PathLike,
    *,
    bundle: str,
    datalist: PathLike,
    steps: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    progress: StageProgress | None = None,
) -> Path:
    """Train a teacher with the settings of a bundle's ``configs/train.json``; return its file.

    `train_gan` in the same folder takes it over, `train_encoder` and `pack` take it from anywhere. A training that was
    ended goes on with the same call.

    Args:
        run_dir: The folder that gets ``teacher.pt``.
        bundle: Shipped name or folder, with or without weights. A teacher for a network with a direct route has its
            widths, as it becomes that route.
        datalist: JSON data list; its labelled entries are learned, its unlabelled ones where the settings ask for that.
        steps: Optimizer steps; None for the bundle's.
        seed: Of everything random; None for the GAN's.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: Called as ``("teacher", images seen, their total)``.

    Raises:
        BundleError: The bundle cannot be used.
        CheckpointError: The state of an ended training is damaged.
        ConfigError: A setting is out of range, or the folder holds a teacher already, or an unfinished other one.
        InputError: The data list or one of its files cannot be used.
        OutputError: The folder cannot be written.
        TrainingError: Another process works in the folder.
    """
    settings = bundle_training(GanTraining, bundle, "train.json")
    described, data = open_bundle(bundle), load_datalist(datalist)
    teacher = (settings.teacher or TeacherSettings()).as_direct_route(described.network)
    if steps is not None:
        teacher = replace(teacher, steps=steps)
    run = settings.run if seed is None else replace(settings.run, seed=seed)
    preset = training_preset(described, settings.modality)
    path = Path(run_dir) / TEACHER_NAME
    with RunLock(make_folder(path.parent)):
        if path.exists():
            raise ConfigError(f"`{run_dir}` already holds a teacher. Choose another folder.")
        labelled = labelled_pool(data, data.labelled, preset, described.network.num_classes, settings.symmetries)
        unlabelled = None
        if teacher.consistency is not None:
            unlabelled = image_pool(data.unlabelled, preset, settings.symmetries)
        train_teacher(
            labelled,
            teacher,
            unlabelled=unlabelled,
            device=training_device(device),
            seed=run.seed,
            path=path,
            progress=progress,
        )
    return path
