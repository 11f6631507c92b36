# SPDX-License-Identifier: Apache-2.0
"""Draw styles and images with labels: latent codes, style mixing, truncation."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.networks.generator import Generator
from monai_semigan.networks.mapping import MappingNetwork

__all__ = ["draw_sample", "sample_w_plus"]


def sample_w_plus(
    mapping: MappingNetwork,
    num_samples: int,
    *,
    mixing_probability: float = 0.0,
    truncation_psi: float = 1.0,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Draw styles for new samples, with style mixing (StyleGAN, Karras et al. 2019, section 3.1).

    Args:
        mapping: The mapping network.
        num_samples: N.
        mixing_probability: Chance, per sample, that the layers from a random one on take a second code's style.
        truncation_psi: 1 keeps w, 0 gives its mean.
        rng: Random state, of any device; None for the global one.

    Returns:
        ``(N, L, w_dim)``.
    """
    device = mapping.latent_avg.device
    drawn_on = device if rng is None else rng.device
    z = torch.randn(num_samples, mapping.z_dim, generator=rng, device=drawn_on).to(device)
    w_plus: Tensor = mapping(z, truncation_psi=truncation_psi)
    if mixing_probability == 0:
        return w_plus
    other: Tensor = mapping(
        torch.randn(num_samples, mapping.z_dim, generator=rng, device=drawn_on).to(device),
        truncation_psi=truncation_psi,
    )
    num_layers = w_plus.shape[1]
    cut = torch.randint(1, num_layers, (num_samples, 1), generator=rng, device=drawn_on).to(device)
    is_mixed = torch.rand(num_samples, 1, generator=rng, device=drawn_on).to(device) < mixing_probability
    takes_other = (torch.arange(num_layers, device=device) >= cut) & is_mixed  # (N, L)
    return torch.where(takes_other.unsqueeze(2), other, w_plus)


@torch.no_grad()
def draw_sample(generator: Generator, seed: int, *, truncation_psi: float = 1.0) -> tuple[Tensor, Tensor]:
    """Draw one image with its label; on one device and one thread the same seed gives the same bits.

    It is drawn alone, whatever is drawn beside it: convolutions choose their kernels by the size of a batch. Its random
    numbers are the CPU's on all devices.

    Args:
        generator: Trained.
        seed: From 0.
        truncation_psi: 1 draws from all that was learned, 0 gives the mean.

    Returns:
        The image, ``(1, C, S, S)`` float32 about [-1, 1], and its label logits, ``(1, K, S, S)``.
    """
    rng = torch.Generator().manual_seed(seed)
    w_plus = sample_w_plus(generator.mapping, 1, truncation_psi=truncation_psi, rng=rng)
    image, label_logits = generator.synthesis(w_plus)
    return image.float(), label_logits.float()
