# SPDX-License-Identifier: Apache-2.0
"""Builders of tiny runs on synthetic images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.encoder_task import EncoderTask
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep
from monai_semigan.training.gan_task import GanTask
from monai_semigan.training.loop import RunSettings, TrainingLoop
from monai_semigan.training.pool import ImagePool, LabelledPool

RUN = {"batch_size": 2, "tick_kimg": 0.004, "num_samples": 2}
"""A tick every two iterations."""


@pytest.fixture
def pools() -> tuple[ImagePool, LabelledPool]:
    rng = torch.Generator().manual_seed(5)
    images = torch.rand(7, 1, 32, 32, generator=rng) * 2 - 1
    foreground = (images[:3] > 0).float()
    return ImagePool(images), LabelledPool(images[:3].clone(), torch.cat([1 - foreground, foreground], dim=1))


@pytest.fixture
def make_gan(make_generator, pools) -> Callable[..., TrainingLoop]:
    def make(
        folder: Path, num_images: int, *, gan: dict[str, object] | None = None, resume: bool = False, **run: object
    ):
        generator = make_generator()
        networks = GanNetworks(
            generator,
            copy.deepcopy(generator).requires_grad_(False),
            ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4]),
            MultiscaleDiscriminator(num_scales=1, base_channels=2),
        )
        teacher = run.pop("teacher", None)
        settings = GanSettings(**({"r1_interval": 2, "path_length_interval": 3} | (gan or {})))
        step = GanStep(networks, settings, augment_image=AugmentSettings(ramp_kimg=0.1), augment_pair=AugmentSettings())
        progress = run.pop("progress", None)
        task = GanTask(
            step,
            unlabelled=pools[0],
            labelled=pools[1],
            settings=RunSettings(total_kimg=num_images / 1000, **(RUN | run)),
            teacher=teacher,
        )
        return TrainingLoop(task, folder, resume=resume, progress=progress)

    return make


@pytest.fixture
def make_encoder(make_segmenter, pools) -> Callable[..., TrainingLoop]:
    def make(folder: Path, num_images: int, *, resume: bool = False, **run: object):
        task = EncoderTask(
            EncoderStep(make_segmenter(), EncoderSettings(ema_half_life_kimg=0.01)),
            unlabelled=pools[0],
            labelled=pools[1],
            validation=pools[1],
            settings=RunSettings(total_kimg=num_images / 1000, **(RUN | run)),
        )
        return TrainingLoop(task, folder, resume=resume)

    return make


@pytest.fixture(params=["gan", "encoder"])
def make_run(request) -> Callable[..., TrainingLoop]:
    """Both trainings in turn."""
    return request.getfixturevalue(f"make_{request.param}")
