# SPDX-License-Identifier: Apache-2.0
"""One iteration of the encoder: generated, unlabelled and labelled images, one loss, one optimizer.

SemanticGAN (Li et al. 2021, equations 6 and 7) trains on real images alone. Generated images come with their styles and
label for free; they are used as well, as in EditGAN (Ling et al. 2021). The generator stays as it is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.losses.perceptual import FeatureDistance, PerceptualDistance
from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.freezing import frozen
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.augment import Augmentation, AugmentSettings, draw_augmentation
from monai_semigan.training.ema import update_ema
from monai_semigan.training.perturb import PerturbSettings, perturb
from monai_semigan.training.ranks import ALONE, Ranks
from monai_semigan.training.teacher import LabelTeacher
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality

__all__ = ["EncoderSettings", "EncoderStep"]

Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Numbers of the encoder's training.

    Attributes:
        learning_rate: Of Adam, at its highest.
        trunk_rate: Factor of the rate for weights that were trained before, see ``started`` of `EncoderStep`.
        warm_up: Share of the training over which the rate rises linearly.
        cool_down: Share of the training over which it falls to zero along a cosine.
        image_weight: Weight of the mean squared error of the image.
        perceptual_weight: Weight of the perceptual distance; with 0 it is not computed.
        label_weight: Weight of Dice and cross-entropy on labelled images.
        generated_label_weight: The same on generated images.
        teacher_weight: The same on unlabelled images, to the teacher's label, if there is a teacher; with 0 it is not
            asked.
        latent_weight: Weight of the mean squared error of the styles of generated images.
        average_weight: Weight of the mean squared distance of all styles to their mean.
        feature_weight: Weight of the mean square of the offsets of real images, if the encoder predicts some.
        generated_feature_weight: The same of generated images, whose offsets are zero in truth.
        mixing_probability: Chance of style mixing per generated sample.
        truncation_psi: Truncation of generated samples.
        max_gradient: Gradients are clipped to this norm.
        ema_half_life_kimg: Half-life of the averaged encoder, thousands of images.
        warp: Geometry applied to real images and their labels, always.
        perturb: Intensity changes of the inputs.
        other_modality: Changes of the inputs to looks of another modality, applied before ``perturb``; None for none.
    """

    learning_rate: Annotated[float, Range(0, 1, exclusive="low")] = 1e-3
    trunk_rate: Share = 0.3
    warm_up: Share = 0.02
    cool_down: Share = 0.6
    image_weight: Weight = 2.0
    perceptual_weight: Weight = 1.0
    label_weight: Weight = 2.0
    generated_label_weight: Weight = 0.5
    teacher_weight: Weight = 1.0
    latent_weight: Weight = 1.0
    average_weight: Weight = 0.02
    feature_weight: Weight = 0.05
    generated_feature_weight: Weight = 0.2
    mixing_probability: Share = 0.5
    truncation_psi: Share = 0.9
    max_gradient: Annotated[float, Range(0, 1e6, exclusive="low")] = 5.0
    ema_half_life_kimg: Annotated[float, Range(0, 1e6)] = 2.0
    warp: AugmentSettings = field(
        default_factory=lambda: AugmentSettings(
            probability=0.8, max_probability=1.0, target_sign=None, brightness=0.0, contrast=0.0
        )
    )
    perturb: PerturbSettings = field(default_factory=PerturbSettings)
    other_modality: CrossModalitySettings | None = None

    def __post_init__(self) -> None:
        check_settings(self)


class EncoderStep:
    """Encoder, its average, its optimizer.

    Args:
        segmenter: The networks; its generator and discriminator are trained and stay as they are, its encoder learns.
        settings: Loss and optimizer settings.
        distance: Compares images; None for the discriminator's features.
        teacher: Labels unlabelled images; None for none.
        ranks: The processes that train together; each has the same networks.
        started: Names of the encoder's parameters that were trained before: they learn at ``trunk_rate``.

    Raises:
        ConfigError: The segmenter has the official SemanticGAN's encoder.
    """

    def __init__(
        self,
        segmenter: SemiGanSegmenter,
        settings: EncoderSettings,
        *,
        distance: PerceptualDistance | None = None,
        teacher: LabelTeacher | None = None,
        ranks: Ranks = ALONE,
        started: Collection[str] = (),
    ) -> None:
        self.segmenter, self.settings, self.teacher, self.ranks = segmenter, settings, teacher, ranks
        if not isinstance(segmenter.encoder, Encoder):
            raise ConfigError(
                "`encoder_kind` must be pyramid to train, got official, which is for imported weights. Take the three "
                "settings of the encoder out of the bundle's network."
            )
        self.generator, self.encoder = segmenter.generator.eval(), segmenter.encoder
        self.encoder.latent_avg.copy_(self.generator.mapping.latent_avg)
        if self.encoder.direct is not None:
            self.encoder.direct.requires_grad_(False)  # it is trained before: the teacher
        self.encoder_ema: Encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.distance = distance or FeatureDistance(segmenter.d_image.features)
        self.optimizer = torch.optim.Adam(
            _rated(self.encoder, started, settings.trunk_rate),
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            foreach=True,
        )

    def __call__(
        self, unlabelled: Tensor, labelled: Tensor, target: Tensor, *, images_seen: int, total_images: int
    ) -> dict[str, Tensor]:
        """Run one iteration.

        Args:
            unlabelled: Real images, ``(N, C, S, S)`` in [-1, 1]; N is this process's share of the batch.
            labelled: Real images with labels, the same shape.
            target: Their soft one-hot labels, ``(N, K, S, S)`` in [0, 1].
            images_seen: Images of each kind that all processes saw before this iteration.
            total_images: Images of each kind of the whole training.

        Returns:
            Scalars by name, on the device, without graph, of this process's images.
        """
        settings, n = self.settings, len(unlabelled)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(images_seen / total_images, settings) * group["factor"]
        w_true, generated, generated_label = self._generate(n)
        real, target = self._warp(torch.cat([unlabelled, labelled]), target)
        clean = torch.cat([generated, real])  # generated, unlabelled, labelled: (3 N, C, S, S)
        with frozen(self.generator, self.segmenter.d_image):
            foreign = cross_modality(clean, settings.other_modality) if settings.other_modality else clean
            embedding = self.encoder.drawn(perturb(foreign, settings.perturb))
            image, label_logits = self.generator.synthesis(embedding)
            stats = {
                "loss_image": (image - clean).square().mean(),
                "loss_label": dice_cross_entropy(label_logits[-n:], target).mean(),
                "loss_label_generated": dice_cross_entropy(label_logits[:n], generated_label).mean(),
                "loss_latent": (embedding.w_plus[:n] - w_true).square().mean(),
                "loss_average": (embedding.w_plus - self.encoder.latent_avg).square().mean(),
            }
            loss = (
                settings.image_weight * stats["loss_image"]
                + settings.label_weight * stats["loss_label"]
                + settings.generated_label_weight * stats["loss_label_generated"]
                + settings.latent_weight * stats["loss_latent"]
                + settings.average_weight * stats["loss_average"]
            )
            if embedding.features:
                stats["loss_features"] = embedding[n:].feature_distance().mean()
                stats["loss_features_generated"] = embedding[:n].feature_distance().mean()
                loss = loss + settings.feature_weight * stats["loss_features"]
                loss = loss + settings.generated_feature_weight * stats["loss_features_generated"]
            if settings.perceptual_weight:
                with torch.no_grad():
                    prepared = self.distance.prepare(clean)
                stats["loss_perceptual"] = self.distance(image, prepared).mean()
                loss = loss + settings.perceptual_weight * stats["loss_perceptual"]
            if self.teacher is not None and settings.teacher_weight:
                taught = self.teacher(clean[n:-n])
                stats["loss_teacher"] = dice_cross_entropy(label_logits[n:-n], taught).mean()
                loss = loss + settings.teacher_weight * stats["loss_teacher"]
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        self.ranks.average_(p.grad for p in self.encoder.parameters() if p.grad is not None)
        stats["gradient_norm"] = torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), settings.max_gradient)
        self.optimizer.step()
        update_ema(
            self.encoder_ema,
            self.encoder,
            batch_size=n * self.ranks.size,
            half_life=settings.ema_half_life_kimg * 1000,
            images_seen=images_seen + n * self.ranks.size,
        )
        return {name: value.detach() for name, value in stats.items()}

    @torch.no_grad()
    def _generate(self, num_samples: int) -> tuple[Tensor, Tensor, Tensor]:
        settings = self.settings
        w_plus = sample_w_plus(
            self.generator.mapping,
            num_samples,
            mixing_probability=settings.mixing_probability,
            truncation_psi=settings.truncation_psi,
        )
        image, label_logits = self.generator.synthesis(w_plus, noise="random")
        return w_plus, image, label_logits.softmax(dim=1)

    def _warp(self, real: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        warp = self.settings.warp
        drawn = draw_augmentation(warp, len(real), warp.probability, device=real.device)
        n = len(target)
        return drawn.image(real), Augmentation(drawn.matrix[-n:], drawn.gain[-n:], drawn.offset[-n:]).label(target)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next iteration depends on, except the random state: tensors and numbers only."""
        return {
            "encoder": self.encoder.state_dict(),
            "encoder_ema": self.encoder_ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.encoder.load_state_dict(state["encoder"])
        self.encoder_ema.load_state_dict(state["encoder_ema"])
        self.optimizer.load_state_dict(state["optimizer"])


def _rated(encoder: Encoder, started: Collection[str], trunk_rate: float) -> list[dict[str, Any]]:
    """Return the optimizer's groups of parameters, each with its factor of the rate."""
    learning = {name: parameter for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    before = [parameter for name, parameter in learning.items() if name in started]
    fresh = [parameter for name, parameter in learning.items() if name not in started]
    groups = ({"params": fresh, "factor": 1.0}, {"params": before, "factor": trunk_rate})
    return [group for group in groups if group["params"]]


def _schedule(done: float, settings: EncoderSettings) -> float:
    rise = min(1.0, (done + 1e-3) / settings.warm_up) if settings.warm_up else 1.0
    fall = min(1.0, (1 - done) / settings.cool_down) if settings.cool_down else 1.0
    return rise * (0.5 - 0.5 * math.cos(max(fall, 0.0) * math.pi))
