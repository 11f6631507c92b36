# SPDX-License-Identifier: Apache-2.0
"""Draw styles: latent codes, style mixing, truncation."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_semigan.networks.mapping import MappingNetwork

__all__ = ["sample_w_plus"]


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
        rng: Random state; None for the global one.

    Returns:
        ``(N, L, w_dim)``.
    """
    device = mapping.latent_avg.device
    z = torch.randn(num_samples, mapping.z_dim, generator=rng, device=device)
    w_plus: Tensor = mapping(z, truncation_psi=truncation_psi)
    if mixing_probability == 0:
        return w_plus
    other: Tensor = mapping(
        torch.randn(num_samples, mapping.z_dim, generator=rng, device=device), truncation_psi=truncation_psi
    )
    num_layers = w_plus.shape[1]
    cut = torch.randint(1, num_layers, (num_samples, 1), generator=rng, device=device)
    is_mixed = torch.rand(num_samples, 1, generator=rng, device=device) < mixing_probability
    takes_other = (torch.arange(num_layers, device=device) >= cut) & is_mixed  # (N, L)
    return torch.where(takes_other.unsqueeze(2), other, w_plus)
