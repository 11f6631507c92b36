# SPDX-License-Identifier: Apache-2.0
"""The training step with generated images of its own for every network, as the official program draws them."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.training.gan_step import GanStep, label_to_discriminator

__all__ = ["SeparateGanStep"]


class SeparateGanStep(GanStep):
    """`GanStep`, but both discriminators see images that were generated for them alone."""

    def _step_d_image(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return super()._step_d_image(real, self._draw(len(fake))[0])

    def _step_d_pair(self, real: Tensor, real_label: Tensor, fake: Tensor, fake_label: Tensor) -> dict[str, Tensor]:
        image, label_logits = self._draw(len(fake))
        return super()._step_d_pair(real, real_label, image, label_to_discriminator(label_logits))

    @torch.no_grad()
    def _draw(self, count: int) -> tuple[Tensor, Tensor]:
        generator = self.networks.generator
        w_plus = sample_w_plus(generator.mapping, count, mixing_probability=self.settings.mixing_probability)
        return generator.synthesis(w_plus, noise="random")
