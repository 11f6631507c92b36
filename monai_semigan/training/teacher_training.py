# SPDX-License-Identifier: Apache-2.0
"""Train a teacher on labelled images, with consistency on unlabelled ones too; an ended training goes on."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.networks.checkpoint_file import read_checkpoint
from monai_semigan.training.augment import draw_augmentation
from monai_semigan.training.consistency import Consistency
from monai_semigan.training.perturb import perturb
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool
from monai_semigan.training.snapshot import random_state, restore_random_state, write_tensors
from monai_semigan.training.teacher import LabelTeacher, TeacherSettings, save_teacher
from monai_semigan.transforms.ct_to_mr import cross_modality
from monai_semigan.types import StageProgress

__all__ = ["train_teacher"]

logger = logging.getLogger(__name__)

FORMAT = "semigan-teacher-training-1"

INTERVAL = 100
"""Steps between two lines of the log, and between two states that an ended training goes on from."""


def train_teacher(
    labelled: LabelledPool,
    settings: TeacherSettings,
    *,
    unlabelled: ImagePool | None = None,
    device: torch.device,
    seed: int = 0,
    path: Path | None = None,
    progress: StageProgress | None = None,
) -> LabelTeacher:
    """Train a teacher; deterministic by seed on a CPU, also when the training was ended and goes on.

    Args:
        labelled: What it learns.
        settings: How.
        unlabelled: What it must be consistent on, if the settings ask for that; None for the labelled images.
        device: Where.
        seed: Of everything random.
        path: File that gets the teacher. The state of the training lies beside it until then, and the same call goes
            on from there. None to write nothing.
        progress: Called as ``("teacher", images seen, their total)`` after every step.

    Returns:
        The teacher, or with consistency its average; frozen, in evaluation mode, on ``device``.

    Raises:
        CheckpointError: The state beside ``path`` is damaged.
        ConfigError: It is of a training with other settings, images or seed.
        OutputError: A file cannot be written.
    """
    torch.manual_seed(seed)
    training = _Training(labelled, settings, unlabelled=unlabelled or labelled, device=device, seed=seed)
    state = None if path is None else path.with_name(f"{path.stem}-unfinished.pt")
    if state is not None and state.exists():
        training.go_on(state)
    while training.done < settings.steps:
        loss = training.step()
        if progress is not None:
            progress("teacher", training.done * settings.batch_size, settings.steps * settings.batch_size)
        if training.done % INTERVAL == 0:
            logger.info("teacher: step %d of %d, loss %.3f", training.done, settings.steps, float(loss))
            if state is not None and training.done < settings.steps:
                write_tensors(state, training.state())
    teacher = training.result()
    if path is not None and state is not None:
        save_teacher(path, teacher)
        state.unlink(missing_ok=True)
    return teacher


class _Training:
    """A teacher in training; arguments as of `train_teacher`.

    Attributes:
        done: Steps so far.
    """

    def __init__(
        self,
        labelled: LabelledPool,
        settings: TeacherSettings,
        *,
        unlabelled: ImagePool,
        device: torch.device,
        seed: int,
    ) -> None:
        self.labelled, self.unlabelled, self.settings, self.device = labelled, unlabelled, settings, device
        self.asked = json.dumps(
            {"settings": asdict(settings), "seed": seed, "images": [labelled.digest, unlabelled.digest]}, sort_keys=True
        )
        self.done = 0
        self.teacher = LabelTeacher(
            image_channels=labelled.images.shape[1],
            num_classes=labelled.targets.shape[1],
            features=settings.features,
            network=settings.network,
            downsampling=settings.downsampling,
        ).to(device)
        self.consistency: Consistency | None = None
        if settings.consistency is not None:
            self.consistency = Consistency(self.teacher.net, settings.consistency, self._disturbed)
        self.optimizer = torch.optim.AdamW(
            self.teacher.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=True
        )
        self.cycle = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.learning_rate, total_steps=settings.steps
        )
        self._order = EndlessOrder(len(labelled), seed=seed)
        self._other_order = EndlessOrder(len(unlabelled), seed=seed + 1)

    def step(self) -> Tensor:
        """Run one iteration; return its loss, without graph."""
        settings, n = self.settings, self.settings.batch_size
        indices = self._order.batch(self.done * n, n)
        drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=self.device)
        image = drawn.image(self.labelled.take(indices, self.device)).clamp(-1, 1)
        target = drawn.label(self.labelled.take_targets(indices, self.device))
        if self.consistency is None:
            loss = dice_cross_entropy(self.teacher.net(self._disturbed(image)), target).mean()
        else:
            drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=self.device)
            other = self.unlabelled.take(self._other_order.batch(self.done * n, n), self.device)
            done = (self.done + 1) / settings.steps
            loss = self.consistency.loss(image, target, drawn.image(other).clamp(-1, 1), done=done)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.cycle.step()
        self.done += 1
        if self.consistency is not None:
            self.consistency.follow(batch_size=n, images_seen=self.done * n)
        return loss.detach()

    def result(self) -> LabelTeacher:
        """Return the teacher as others use it; the training is over."""
        if self.consistency is not None:
            self.teacher.net = self.consistency.average
        return self.teacher.eval().requires_grad_(False)

    def state(self) -> dict[str, Any]:
        """Return everything that the next iteration depends on."""
        return {
            "format": FORMAT,
            "asked": self.asked,
            "done": self.done,
            "parts": {name: part.state_dict() for name, part in self._parts().items()},
            "random": random_state(self.device),
        }

    def go_on(self, path: Path) -> None:
        """Restore what `state` returned, from its file."""
        remedy = "Delete it to train the teacher from the start."
        saved = read_checkpoint(path, remedy=remedy)
        if saved.get("format") != FORMAT:
            raise CheckpointError(f"`{path}` must have the format {FORMAT!r}. {remedy}")
        if saved.get("asked") != self.asked:
            raise ConfigError(
                f"`{path}` must be of a training with the same settings, images and seed, but is of another one. "
                f"Repeat with those, or choose another folder. {remedy}"
            )
        try:
            for name, part in self._parts().items():
                part.load_state_dict(saved["parts"][name])
            restore_random_state(saved["random"], self.device)
            self.done = int(saved["done"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise CheckpointError(
                f"`{path}` must hold the state of a teacher's training, but is damaged "
                f"({type(error).__name__}). {remedy}"
            ) from error
        logger.info("teacher: goes on from step %d of %d", self.done, self.settings.steps)

    def _parts(self) -> dict[str, Any]:
        parts = {"teacher": self.teacher, "optimizer": self.optimizer, "cycle": self.cycle}
        return parts if self.consistency is None else {**parts, "average": self.consistency.average}

    def _disturbed(self, image: Tensor) -> Tensor:
        if self.settings.other_modality is not None:
            image = cross_modality(image, self.settings.other_modality)
        return perturb(image, self.settings.perturb)
