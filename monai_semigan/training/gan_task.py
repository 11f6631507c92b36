# SPDX-License-Identifier: Apache-2.0
"""Train the joint GAN: both streams of real images, adaptive augmentation, sample sheets."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_semigan.errors import ConfigError
from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.training.gan_step import GanStep
from monai_semigan.training.loop import RunSettings
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool
from monai_semigan.training.sample_sheet import sample_sheet, save_image
from monai_semigan.training.teacher import TEACHER_NAME, TRAINED_AGAIN, TeacherSettings, load_teacher
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.types import StageProgress

__all__ = ["GanTask"]

logger = logging.getLogger(__name__)

ADAPT_INTERVAL = 4
"""Iterations between changes of the augmentation's strength (ADA, section 3.1, which averages the discriminator's sign
over them; here the last batch speaks for all)."""

SHEET_TRUNCATION = 0.9
"""Sample sheets are truncated a little: one odd sample says less than the typical ones."""


class GanTask:
    """Run `GanStep` on unlabelled and labelled images: a `Task`.

    Args:
        step: Networks, losses and optimizers.
        unlabelled: What D_r sees.
        labelled: What D_m sees.
        settings: Length and intervals.
        teacher: How to train the teacher before the first iteration; None for no teacher.
        config: Further facts for ``resolved_config.json``, such as the data's digest.

    Raises:
        ConfigError: The batch cannot be dealt out to the processes.
    """

    name = "gan"

    def __init__(
        self,
        step: GanStep,
        *,
        unlabelled: ImagePool,
        labelled: LabelledPool,
        settings: RunSettings,
        teacher: TeacherSettings | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.step, self.unlabelled, self.labelled, self.settings = step, unlabelled, labelled, settings
        self.device, self.ranks, self.teacher_settings = step.path_length_mean.device, step.ranks, teacher
        self.config = {
            **(config or {}),
            "gan": asdict(step.settings),
            "teacher": asdict(teacher) if teacher else None,
        }
        self._real_order = EndlessOrder(len(unlabelled), seed=2 * settings.seed)
        self._pair_order = EndlessOrder(len(labelled), seed=2 * settings.seed + 1)
        smallest = step.networks.d_image.stddev_group * step.ranks.size
        if step.ranks.size > 1 and settings.batch_size % smallest:
            raise ConfigError(
                f"`batch_size` must be a multiple of {smallest}, {step.ranks.size} processes with whole groups of the "
                f"minibatch standard deviation, got {settings.batch_size}."
            )

    def prepare(self, folder: Path, progress: StageProgress | None) -> None:
        """Train the teacher, or read the one that lies in the run folder."""
        if self.teacher_settings is None:
            return
        path = folder / TEACHER_NAME
        with torch.random.fork_rng():  # a resumed run must go on with its own random numbers
            if self.ranks.is_first and not path.exists():
                settings = self.teacher_settings.for_length(self.settings.total_images)
                logger.info("teacher: %d steps before the GAN's first iteration", settings.steps)
                train_teacher(
                    self.labelled,
                    settings,
                    unlabelled=self.unlabelled,
                    device=self.device,
                    seed=self.settings.seed,
                    path=path,
                    progress=progress,
                )
            self.ranks.wait()
            self.step.follow(load_teacher(path, device=self.device, remedy=TRAINED_AGAIN))

    def iterate(self, images_seen: int) -> dict[str, Tensor]:
        batch_size = self.settings.batch_size
        pairs = self.ranks.share(self._pair_order.batch(images_seen, batch_size))
        stats = self.step(
            self.unlabelled.take(self.ranks.share(self._real_order.batch(images_seen, batch_size)), self.device),
            self.labelled.take(pairs, self.device),
            self.labelled.take_targets(pairs, self.device),
            images_seen=images_seen,
        )
        if self.step.iteration % ADAPT_INTERVAL == 0:
            num_images = ADAPT_INTERVAL * batch_size
            self.ranks.average_([stats["real_sign"], stats["real_sign_pair"]])
            self.step.adaptive_image.update(stats["real_sign"], num_images)
            self.step.adaptive_pair.update(stats["real_sign_pair"], num_images)
        return stats

    def networks(self) -> dict[str, nn.Module]:
        return self.step.networks.named()

    def state(self) -> dict[str, Any]:
        return self.step.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        self.step.load_state_dict(state)

    @torch.no_grad()
    def report(self, folder: Path, images_seen: int) -> dict[str, float]:
        generator = self.step.networks.generator_ema.eval()
        rng = torch.Generator(self.device).manual_seed(self.settings.seed)
        w_plus = sample_w_plus(generator.mapping, self.settings.num_samples, truncation_psi=SHEET_TRUNCATION, rng=rng)
        image, label_logits = generator.synthesis(w_plus)
        sheet = sample_sheet(image.cpu(), label_logits.softmax(dim=1).cpu())
        save_image(folder / f"samples-{images_seen:08d}.png", sheet)
        return {"augment_image": self.step.adaptive_image.value, "augment_pair": self.step.adaptive_pair.value}
