# SPDX-License-Identifier: Apache-2.0
"""Train the encoder; keep the one with the best validation Dice."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.training.encoder_step import EncoderStep
from monai_semigan.training.loop import RunSettings
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool
from monai_semigan.training.pool_scores import mean_dice
from monai_semigan.training.sample_sheet import sample_sheet, save_image
from monai_semigan.training.snapshot import write_tensors
from monai_semigan.types import StageProgress

__all__ = ["EncoderTask"]

BEST_NAME = "best.pt"
EVALUATION_BATCH = 32


class EncoderTask:
    """Run `EncoderStep`, and keep the best encoder: a `Task`.

    ``best.pt`` in the run folder holds the state dict of the `SemiGanSegmenter` whose averaged encoder had the best
    validation Dice.

    Args:
        step: Networks, losses and optimizer.
        unlabelled: Real images without labels.
        labelled: Real images with labels.
        validation: Images with labels that choose the checkpoint.
        settings: Length and intervals.
        config: Further facts for ``resolved_config.json``.
    """

    name = "encoder"

    def __init__(
        self,
        step: EncoderStep,
        *,
        unlabelled: ImagePool,
        labelled: LabelledPool,
        validation: LabelledPool,
        settings: RunSettings,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.step, self.unlabelled, self.labelled, self.validation = step, unlabelled, labelled, validation
        self.settings, self.device, self.ranks = settings, step.segmenter.device, step.ranks
        # The learning rate depends on the length: unlike the GAN's, it cannot change when a run is resumed.
        self.config = {**(config or {}), "encoder": asdict(step.settings), "total_kimg": settings.total_kimg}
        self._real_order = EndlessOrder(len(unlabelled), seed=2 * settings.seed)
        self._pair_order = EndlessOrder(len(labelled), seed=2 * settings.seed + 1)
        self.best_dice = -1.0

    def prepare(self, folder: Path, progress: StageProgress | None) -> None:
        """Do nothing: the GAN's run left what is needed."""

    def iterate(self, images_seen: int) -> dict[str, Tensor]:
        batch_size = self.settings.batch_size
        pairs = self.ranks.share(self._pair_order.batch(images_seen, batch_size))
        return self.step(
            self.unlabelled.take(self.ranks.share(self._real_order.batch(images_seen, batch_size)), self.device),
            self.labelled.take(pairs, self.device),
            self.labelled.take_targets(pairs, self.device),
            images_seen=images_seen,
            total_images=self.settings.total_images,
        )

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.step.encoder, "encoder_ema": self.step.encoder_ema}

    def state(self) -> dict[str, Any]:
        return {**self.step.state_dict(), "best_dice": self.best_dice}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best_dice = state["best_dice"]
        self.step.load_state_dict(state)

    @torch.no_grad()
    def report(self, folder: Path, images_seen: int) -> dict[str, float]:
        generator, encoder = self.step.generator, self.step.encoder_ema
        dice, error = [], []
        for start in range(0, len(self.validation), EVALUATION_BATCH):
            indices = torch.arange(start, min(start + EVALUATION_BATCH, len(self.validation)))
            real, target = (take(indices, self.device) for take in (self.validation.take, self.validation.take_targets))
            image, label_logits = generator.synthesis(encoder.drawn(real))
            dice.append(mean_dice(label_logits, target))
            error.append((image - real).square().flatten(1).mean(dim=1))
            if start == 0:
                shown = max(self.settings.num_samples // 2, 1)
                both = torch.stack([real[:shown], image[:shown]], dim=1).flatten(0, 1)
                labels = torch.stack([target[:shown], label_logits[:shown].softmax(dim=1)], dim=1).flatten(0, 1)
                save_image(folder / f"validation-{images_seen:08d}.png", sample_sheet(both.cpu(), labels.cpu()))
        mean = float(torch.cat(dice).mean())
        if mean > self.best_dice:
            self.best_dice = mean
            self._save_best(folder)
        return {
            "validation_dice": mean,
            "validation_image_error": float(torch.cat(error).mean()),
            "best_dice": self.best_dice,
        }

    def _save_best(self, folder: Path) -> None:
        best: SemiGanSegmenter = copy.deepcopy(self.step.segmenter)
        best.encoder.load_state_dict(self.step.encoder_ema.state_dict())
        best.is_trained.fill_(1)
        write_tensors(folder / BEST_NAME, best.state_dict())
