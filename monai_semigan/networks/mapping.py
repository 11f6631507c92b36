# SPDX-License-Identifier: Apache-2.0
"""The mapping network: z to w, the tracked mean of w, truncation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from monai_semigan.errors import check_shape
from monai_semigan.networks.layers import EqualizedLinear

__all__ = ["MappingNetwork"]

MAPPING_LEARNING_RATE_MULTIPLIER = 0.01
"""The mapping network learns a hundred times slower than the rest (StyleGAN, Karras et al. 2019, appendix C)."""

LATENT_AVG_DECAY = 0.998
"""Share of the old mean kept per training batch (Karras et al. 2020, training with limited data, appendix C)."""


class MappingNetwork(nn.Module):
    """Map z to w, track the mean of w, and truncate towards it (StyleGAN, section 2).

    Shapes:
        z: ``(N, z_dim)`` -> w_plus: ``(N, L, w_dim)``, L = ``num_layers`` styles of the synthesis network.

    State:
        latent_avg: ``(w_dim,)``, moving average of w over training; a buffer, saved with the weights.
    """

    latent_avg: Tensor

    def __init__(self, *, z_dim: int, w_dim: int, num_layers: int, num_mapping_layers: int = 8) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.num_layers = z_dim, w_dim, num_layers
        widths = [z_dim] + [w_dim] * num_mapping_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(i, o, learning_rate_multiplier=MAPPING_LEARNING_RATE_MULTIPLIER, activate=True)
            for i, o in pairwise(widths)
        )
        self.register_buffer("latent_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, *, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map latent codes to styles.

        Args:
            z: Standard normal codes, ``(N, z_dim)``.
            truncation_psi: 1 keeps w, 0 gives the mean of w, values between interpolate.
            truncation_cutoff: Number of first layers to truncate; None truncates all.

        Returns:
            ``(N, L, w_dim)``.
        """
        w = self.map(z)
        if self.training:
            self.latent_avg.lerp_(w.detach().to(self.latent_avg.dtype).mean(dim=0), 1 - LATENT_AVG_DECAY)
        w_plus = w.unsqueeze(1).expand(-1, self.num_layers, -1)  # (N, L, w_dim)
        if truncation_psi == 1:
            return w_plus
        truncated = self.latent_avg.lerp(w_plus, truncation_psi)
        if truncation_cutoff is None:
            return truncated
        return torch.cat([truncated[:, :truncation_cutoff], w_plus[:, truncation_cutoff:]], dim=1)

    def map(self, z: Tensor) -> Tensor:
        """Map ``(N, z_dim)`` to w, ``(N, w_dim)``, without broadcasting or truncation."""
        check_shape("z", z.shape, f"N {self.z_dim}")
        w = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)  # unit second moment
        for layer in self.layers:
            w = layer(w)
        return w
