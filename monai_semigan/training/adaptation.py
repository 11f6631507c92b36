# SPDX-License-Identifier: Apache-2.0
"""Teach a trained encoder what a few labelled images of another hospital, scanner or convention show.

The generator stays as it is, so the label still comes from what it learned of images and labels together; the encoder
learns at which embedding it draws these labels. Geometry and intensity of every image are disturbed anew in each step,
and what is handed out is the running average of the encoder: so minutes and a handful of images are enough.

Unlabelled images of the place teach as well: the average labels them as they are, and the encoder must say the same of
them when they are disturbed (Tarvainen and Valpola 2017, Mean Teacher).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor

from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.networks.freezing import frozen
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.augment import AugmentSettings, draw_augmentation
from monai_semigan.training.ema import update_ema
from monai_semigan.training.perturb import STRONG, PerturbSettings, perturb
from monai_semigan.training.pool import EndlessOrder, ImagePool, LabelledPool

__all__ = ["AdaptationSettings", "EncoderAdaptation"]

Weight = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True, kw_only=True)
class AdaptationSettings:
    """How an encoder is adapted.

    Attributes:
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        warm_up: Steps over which the rate rises.
        batch_size: Images per step; of fewer labelled ones each comes several times, disturbed in its own way.
        image_weight: Weight of the mean squared error of the redrawn image: the encoder keeps seeing what is there.
        feature_weight: Weight of the mean square of the offsets, if there are some.
        max_gradient: Gradients are clipped to this norm.
        half_life: Half-life of the average, steps.
        unlabelled_batch: Unlabelled images per step, if there are some.
        unlabelled_weight: Weight of Dice and cross-entropy to the average's labels of unlabelled images.
        unlabelled_after: Steps before they teach: until then the average labels as it did elsewhere.
        warp: Geometry that image and label share.
        perturb: Intensity changes of the images.
    """

    learning_rate: Annotated[float, Range(0, 1, exclusive="low")] = 1e-3
    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    warm_up: Annotated[int, Range(0, 10_000)] = 5
    batch_size: Annotated[int, Range(1, 4096)] = 8
    image_weight: Weight = 2.0
    feature_weight: Weight = 0.0
    max_gradient: Annotated[float, Range(0, 1e6, exclusive="low")] = 5.0
    half_life: Annotated[float, Range(0, 1e6)] = 8.0
    unlabelled_batch: Annotated[int, Range(1, 4096)] = 8
    unlabelled_weight: Weight = 1.0
    unlabelled_after: Annotated[int, Range(0, 10_000)] = 10
    warp: AugmentSettings = field(
        default_factory=lambda: AugmentSettings(
            rotation=0.12,
            scale=0.25,
            stretch=0.15,
            translation=0.08,
            brightness=0.0,
            contrast=0.0,
            probability=0.8,
            max_probability=1.0,
            target_sign=None,
        )
    )
    perturb: PerturbSettings = STRONG

    def __post_init__(self) -> None:
        check_settings(self)


class EncoderAdaptation:
    """A copy of an encoder that learns a few labelled images, step by step; its generator is shared and stays.

    Args:
        segmenter: Trained; not changed.
        labelled: The images.
        settings: How.
        unlabelled: More images of the place; None for none.
        seed: Of everything random; on a CPU the same seed gives the same encoder. It also seeds a GPU's random state.

    Attributes:
        average: The adapted encoder.
        steps: Steps done.
    """

    def __init__(
        self,
        segmenter: SemiGanSegmenter,
        labelled: LabelledPool,
        settings: AdaptationSettings,
        *,
        unlabelled: ImagePool | None = None,
        seed: int = 0,
    ) -> None:
        self.segmenter, self.labelled, self.settings = segmenter, labelled, settings
        self.encoder: Any = copy.deepcopy(segmenter.encoder).requires_grad_(True).eval()
        self.average: Any = copy.deepcopy(segmenter.encoder).requires_grad_(False).eval()
        self.steps = 0
        self._order = EndlessOrder(len(labelled), seed=seed)
        self._unlabelled = unlabelled if settings.unlabelled_weight else None
        self._other_order = None if self._unlabelled is None else EndlessOrder(len(self._unlabelled), seed=seed + 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._random = torch.random.get_rng_state()
        self._optimizer = torch.optim.AdamW(
            self.encoder.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            betas=(0.9, 0.99),
            foreach=True,
        )

    def advance(self, steps: int) -> None:
        """Run so many more steps. The CPU's random state is as before afterwards; a GPU's is not."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.random.set_rng_state(self._random)
            for _ in range(steps):
                self._step()
            self._random = torch.random.get_rng_state()

    def _step(self) -> None:
        settings, device = self.settings, self.segmenter.device
        n = settings.batch_size
        indices = self._order.batch(self.steps * n, n)
        drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=device)
        image = drawn.image(self.labelled.take(indices, device)).clamp(-1, 1)
        target = drawn.label(self.labelled.take_targets(indices, device))
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (self.steps + 1) / max(settings.warm_up, 1))
        seen, taught = image, self._taught() if self.steps >= settings.unlabelled_after else None
        if taught is not None:
            seen = torch.cat([image, taught[0]])
        with frozen(self.segmenter.generator):
            embedding = self.encoder(perturb(seen, settings.perturb))
            redrawn, label_logits = self.segmenter.generator.synthesis(embedding)
            loss: Tensor = dice_cross_entropy(label_logits[:n], target).mean()
            if taught is not None:
                loss = loss + settings.unlabelled_weight * dice_cross_entropy(label_logits[n:], taught[1]).mean()
            if settings.image_weight:
                loss = loss + settings.image_weight * (redrawn - seen).square().mean()
            if settings.feature_weight and embedding.features:
                loss = loss + settings.feature_weight * embedding.feature_distance().mean()
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), settings.max_gradient)
        self._optimizer.step()
        self.steps += 1
        update_ema(self.average, self.encoder, batch_size=1, half_life=settings.half_life, images_seen=float("inf"))

    @torch.no_grad()
    def _taught(self) -> tuple[Tensor, Tensor] | None:
        """Return unlabelled images and the average's soft labels of them; None without such images."""
        if self._unlabelled is None or self._other_order is None:
            return None
        settings, device = self.settings, self.segmenter.device
        n = settings.unlabelled_batch
        drawn = draw_augmentation(settings.warp, n, settings.warp.probability, device=device)
        image = drawn.image(self._unlabelled.take(self._other_order.batch(self.steps * n, n), device)).clamp(-1, 1)
        _, label_logits = self.segmenter.generator.synthesis(self.average(image))
        return image, label_logits.softmax(dim=1)

    def adapted(self) -> SemiGanSegmenter:
        """Return a copy of the segmenter with the adapted encoder."""
        made: SemiGanSegmenter = copy.deepcopy(self.segmenter)
        made.encoder.load_state_dict(self.average.state_dict())
        return made
