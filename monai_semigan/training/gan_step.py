# SPDX-License-Identifier: Apache-2.0
"""One iteration of the joint GAN: discriminator on images, discriminator on pairs, generator.

Where gradients go (SemanticGAN, Li et al. 2021, section 3.2):

- D_r sees unlabelled real images and generated ones; D_m sees labelled real pairs and generated ones. One generated
  batch serves both discriminators and the generator.
- The generator's image loss reaches all of it. The generated image is detached before D_m: what D_m asks for changes
  the label branch and the trunk that it shares, never the image heads.
- D_m's images, real and generated, are perturbed: what it judges is the label, not the scanner.
- A teacher, if there is one, gives every generated image a soft label; its loss reaches what D_m's reaches.
- D_m sees label maps as probabilities scaled to [-1, 1], real ones softened at the borders by area averaging and by the
  augmentation's interpolation, so that it cannot tell a generated label by its softness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.losses.adversarial import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
    mean_logit,
)
from monai_semigan.losses.gradient_penalty import r1_penalty
from monai_semigan.losses.path_length import path_lengths
from monai_semigan.losses.segmentation import dice_cross_entropy
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.freezing import frozen
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.augment import AdaptiveProbability, AugmentSettings, draw_augmentation
from monai_semigan.training.ema import update_ema
from monai_semigan.training.perturb import PerturbSettings, perturb
from monai_semigan.training.ranks import ALONE, Ranks
from monai_semigan.training.teacher import LabelTeacher

__all__ = ["GanNetworks", "GanSettings", "GanStep", "label_to_discriminator"]

DISCRIMINATOR_LOSSES = {"logistic": logistic_discriminator_loss, "hinge": hinge_discriminator_loss}
GENERATOR_LOSSES = {"logistic": logistic_generator_loss, "hinge": hinge_generator_loss}

Loss = Literal["logistic", "hinge"]
Rate = Annotated[float, Range(0, 1, exclusive="low")]
Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True, kw_only=True)
class GanSettings:
    """Numbers of the GAN's training.

    Attributes:
        learning_rate: Of Adam (betas 0 and 0.99) for all networks, before the correction for lazy regularization.
        image_loss: ``logistic`` or ``hinge``, of D_r.
        pair_loss: ``logistic`` or ``hinge``, of D_m.
        pair_weight: Weight of D_m's loss for the generator.
        teacher_weight: Weight of Dice and cross-entropy to the teacher's label, if there is a teacher; with 0 it is not
            asked.
        r1_gamma: Weight of D_r's R1 penalty (half of it multiplies the squared gradient).
        r1_gamma_pair: The same for D_m.
        r1_interval: Iterations between R1 steps; the weight grows with it.
        path_length_weight: Weight of the path length penalty; 0 turns it off.
        path_length_interval: Iterations between path length steps; the weight grows with it.
        path_length_decay: Share of a new batch in the tracked mean length.
        mixing_probability: Chance of style mixing per generated sample.
        ema_half_life_kimg: Half-life of the averaged generator, thousands of images.
    """

    learning_rate: Rate = 2e-3
    image_loss: Loss = "logistic"
    pair_loss: Loss = "hinge"
    pair_weight: Weight = 1.0
    teacher_weight: Weight = 1.0
    r1_gamma: Weight = 1.0
    r1_gamma_pair: Weight = 1.0
    r1_interval: Annotated[int, Range(1, 100_000)] = 16
    path_length_weight: Weight = 2.0
    path_length_interval: Annotated[int, Range(1, 100_000)] = 8
    path_length_decay: Share = 0.01
    mixing_probability: Share = 0.9
    ema_half_life_kimg: Annotated[float, Range(0, 1e6)] = 10.0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class GanNetworks:
    """The four networks of the GAN's training."""

    generator: Generator
    generator_ema: Generator
    d_image: ImageDiscriminator
    d_pair: MultiscaleDiscriminator

    def named(self) -> dict[str, nn.Module]:
        """Return the networks by name."""
        return dict(vars(self))


def label_to_discriminator(label_logits: Tensor) -> Tensor:
    """Turn label logits ``(N, K, H, W)`` into what D_m sees: probabilities scaled to [-1, 1]."""
    return label_logits.softmax(dim=1) * 2 - 1


class GanStep:
    """Networks, optimizers and the state between iterations.

    Args:
        networks: The four networks, on their device.
        settings: Loss and optimizer settings.
        augment_image: Augmentation of D_r's inputs.
        augment_pair: Augmentation of D_m's inputs.
        perturb_pair: Intensity changes of D_m's images; None for none.
        teacher: Labels generated images; None for none.
        ranks: The processes that train together; each has the same networks.
    """

    def __init__(
        self,
        networks: GanNetworks,
        settings: GanSettings,
        *,
        augment_image: AugmentSettings,
        augment_pair: AugmentSettings,
        perturb_pair: PerturbSettings | None = None,
        teacher: LabelTeacher | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.networks, self.settings, self.ranks = networks, settings, ranks
        self.perturb_pair, self.teacher = perturb_pair, teacher
        device = networks.generator.mapping.latent_avg.device
        self.adaptive_image = AdaptiveProbability(augment_image, device=device)
        self.adaptive_pair = AdaptiveProbability(augment_pair, device=device)
        self.path_length_mean = torch.zeros((), device=device)
        self.iteration = 0
        has_path_length = settings.path_length_weight > 0
        self.optimizers = {
            "generator": _lazy_adam(
                networks.generator, settings.learning_rate, settings.path_length_interval if has_path_length else None
            ),
            "d_image": _lazy_adam(networks.d_image, settings.learning_rate, settings.r1_interval),
            "d_pair": _lazy_adam(networks.d_pair, settings.learning_rate, settings.r1_interval),
        }

    def __call__(self, unlabelled: Tensor, labelled: Tensor, target: Tensor, *, images_seen: int) -> dict[str, Tensor]:
        """Run one iteration.

        Args:
            unlabelled: Real images for D_r, ``(N, C, S, S)`` in [-1, 1]; N is this process's share of the batch.
            labelled: Real images with labels for D_m, the same shape.
            target: Their soft one-hot labels, ``(N, K, S, S)`` in [0, 1].
            images_seen: Unlabelled images that all processes saw before this iteration.

        Returns:
            Scalars by name, on the device, without graph, of this process's images.
        """
        networks, settings, batch_size = self.networks, self.settings, len(unlabelled) * self.ranks.size
        w_plus = sample_w_plus(
            networks.generator.mapping, len(unlabelled), mixing_probability=settings.mixing_probability
        )
        image, label_logits = networks.generator.synthesis(w_plus, noise="random")

        fake_label = label_to_discriminator(label_logits.detach())
        stats = self._step_d_image(unlabelled, image.detach())
        stats |= self._step_d_pair(labelled, target * 2 - 1, image.detach(), fake_label)
        stats |= self._step_generator(image, label_logits)
        if settings.path_length_weight > 0 and self.iteration % settings.path_length_interval == 0:
            stats |= self._step_path_length(max(len(unlabelled) // 2, 1))
        self.ranks.average_([networks.generator.mapping.latent_avg])  # each tracked the mean of its own samples
        update_ema(
            networks.generator_ema,
            networks.generator,
            batch_size=batch_size,
            half_life=settings.ema_half_life_kimg * 1000,
            images_seen=images_seen + batch_size,
        )
        self.iteration += 1
        return {name: value.detach() for name, value in stats.items()}

    def follow(self, teacher: LabelTeacher) -> None:
        """Take a teacher that labels generated images from now on."""
        self.teacher = teacher

    def _step_d_image(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        settings, discriminator = self.settings, self.networks.d_image
        with_r1 = self.iteration % settings.r1_interval == 0
        real = real.detach().requires_grad_(with_r1)
        real_logits = discriminator(self._augment_image(real))
        fake_logits = discriminator(self._augment_image(fake))
        loss = DISCRIMINATOR_LOSSES[settings.image_loss](real_logits, fake_logits).mean()
        stats = {"loss_d_image": loss, "real_sign": real_logits.sign().mean(), "fake_sign": fake_logits.sign().mean()}
        if with_r1:
            stats["r1_image"] = r1_penalty(real_logits, real).mean()
            loss = loss + stats["r1_image"] * (settings.r1_gamma / 2 * settings.r1_interval)
        self._update("d_image", loss)
        return stats

    def _step_d_pair(self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor) -> dict[str, Tensor]:
        settings, discriminator = self.settings, self.networks.d_pair
        with_r1 = self.iteration % settings.r1_interval == 0
        real = self._perturb_pair(real).requires_grad_(with_r1)
        real_label = real_label.detach().requires_grad_(with_r1)
        real_logits = discriminator(*self._augment_pair(real, real_label))
        fake_logits = discriminator(*self._augment_pair(self._perturb_pair(fake), fake_label))
        loss = DISCRIMINATOR_LOSSES[settings.pair_loss](real_logits, fake_logits).mean()
        stats = {
            "loss_d_pair": loss,
            "real_sign_pair": mean_logit(real_logits).sign().mean(),
            "fake_sign_pair": mean_logit(fake_logits).sign().mean(),
        }
        if with_r1:
            stats["r1_pair"] = r1_penalty(mean_logit(real_logits), real, real_label).mean()
            loss = loss + stats["r1_pair"] * (settings.r1_gamma_pair / 2 * settings.r1_interval)
        self._update("d_pair", loss)
        return stats

    def _step_generator(self, image: Tensor, label_logits: Tensor) -> dict[str, Tensor]:
        settings, networks = self.settings, self.networks
        label = label_to_discriminator(label_logits)
        with frozen(networks.d_image, networks.d_pair):
            image_logits = networks.d_image(self._augment_image(image))
            pair_logits = networks.d_pair(*self._augment_pair(self._perturb_pair(image), label))
            stats = {
                "loss_g_image": GENERATOR_LOSSES[settings.image_loss](image_logits).mean(),
                "loss_g_pair": GENERATOR_LOSSES[settings.pair_loss](pair_logits).mean(),
            }
            loss = stats["loss_g_image"] + settings.pair_weight * stats["loss_g_pair"]
            if self.teacher is not None and settings.teacher_weight:
                stats["loss_teacher"] = dice_cross_entropy(label_logits, self.teacher(image)).mean()
                loss = loss + settings.teacher_weight * stats["loss_teacher"]
            self._update("generator", loss)
        return stats

    def _step_path_length(self, num_samples: int) -> dict[str, Tensor]:
        settings, generator = self.settings, self.networks.generator
        w_plus = sample_w_plus(generator.mapping, num_samples, mixing_probability=settings.mixing_probability)
        lengths = path_lengths(generator.synthesis.image(w_plus, noise="random"), w_plus)
        mean = lengths.detach().mean()
        self.ranks.average_([mean])
        self.path_length_mean.lerp_(mean, settings.path_length_decay)
        penalty = (lengths - self.path_length_mean).square().mean()
        self._update("generator", penalty * (settings.path_length_weight * settings.path_length_interval))
        return {"path_length": lengths.mean(), "path_length_penalty": penalty}

    def _augment_image(self, image: Tensor) -> Tensor:
        adaptive = self.adaptive_image
        return draw_augmentation(adaptive.settings, len(image), adaptive.probability, device=image.device).image(image)

    def _perturb_pair(self, image: Tensor) -> Tensor:
        """Detached: D_m's loss never reaches the image; R1 is taken at the perturbed image."""
        image = image.detach()
        return image if self.perturb_pair is None else perturb(image, self.perturb_pair)

    def _augment_pair(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        adaptive = self.adaptive_pair
        drawn = draw_augmentation(adaptive.settings, len(image), adaptive.probability, device=image.device)
        return drawn.image(image), drawn.label(label)

    def _update(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_(p.grad for p in self.networks.named()[name].parameters() if p.grad is not None)
        optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next iteration depends on, except the random state: tensors and numbers only."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.named().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "augment": {"image": self.adaptive_image.value, "pair": self.adaptive_pair.value},
            "path_length_mean": self.path_length_mean,
            "iteration": self.iteration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, network in self.networks.named().items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.adaptive_image.value = state["augment"]["image"]
        self.adaptive_pair.value = state["augment"]["pair"]
        self.path_length_mean.copy_(state["path_length_mean"])
        self.iteration = state["iteration"]


def _lazy_adam(network: nn.Module, learning_rate: float, interval: int | None) -> torch.optim.Adam:
    """Adam whose rate and decay account for the extra regularization steps (StyleGAN2, appendix B).

    The discriminators are corrected likewise, though their penalty shares the step of the loss: 6 % off the rate at 16.
    """
    ratio = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(
        network.parameters(), lr=learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, foreach=True
    )
