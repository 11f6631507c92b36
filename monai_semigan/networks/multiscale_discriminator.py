# SPDX-License-Identifier: Apache-2.0
"""D_m, the pair discriminator: patch discriminators on image and label at several scales.

The discriminator of pix2pixHD (Wang et al. 2018, section 3.2), used on the concatenation of image and label map
(SemanticGAN, Li et al. 2021, section 3.2).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from monai_semigan.errors import check_shape
from monai_semigan.networks.downsampling import check_downsampling, reduced

__all__ = ["MultiscaleDiscriminator"]


class PatchDiscriminator(nn.Module):
    """Five 4x4 convolutions, the first ``num_strided`` with stride 2; spectral and instance norm on the middle ones.

    Shapes:
        ``(N, C, H, W)`` -> one logit per patch, ``(N, 1, H', W')``.
    """

    def __init__(self, in_channels: int, *, base_channels: int = 64, num_strided: int = 3) -> None:
        super().__init__()
        widths = [base_channels * min(2**i, 8) for i in range(num_strided + 1)]
        self.first = nn.Conv2d(in_channels, widths[0], 4, stride=2, padding=2)
        self.middle = nn.ModuleList(
            spectral_norm(nn.Conv2d(i, o, 4, stride=2 if at < num_strided - 1 else 1, padding=2, bias=False))
            for at, (i, o) in enumerate(pairwise(widths))
        )
        self.last = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, pair: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(pair), 0.2)
        for conv in self.middle:
            x = F.leaky_relu(F.instance_norm(conv(x)), 0.2)
        logits: Tensor = self.last(x)
        return logits


class MultiscaleDiscriminator(nn.Module):
    """Judge whether an image and a label map belong together and look real.

    Args:
        image_channels: Channels of the image.
        num_classes: Channels of the label map.
        num_scales: Discriminators; each sees the pair at half the size of the one before.
        base_channels: Width of each discriminator's first convolution.
        downsampling: Factor by which the pair is reduced first, see `networks.downsampling`.

    Shapes:
        image ``(N, C, S, S)`` in [-1, 1], label ``(N, K, S, S)`` in [-1, 1] (1 is certain, -1 is excluded)
        -> list of patch logits, finest scale first, each ``(N, 1, H', W')``.
    """

    def __init__(
        self,
        *,
        image_channels: int = 1,
        num_classes: int = 2,
        num_scales: int = 3,
        base_channels: int = 64,
        downsampling: int = 1,
    ) -> None:
        super().__init__()
        check_downsampling(downsampling)
        self.image_channels, self.num_classes, self.downsampling = image_channels, num_classes, downsampling
        self.critics = nn.ModuleList(
            PatchDiscriminator(image_channels + num_classes, base_channels=base_channels) for _ in range(num_scales)
        )

    def forward(self, image: Tensor, label: Tensor) -> list[Tensor]:
        size = check_shape("image", image.shape, f"N {self.image_channels} H W")
        check_shape("label", label.shape, f"{size['N']} {self.num_classes} {size['H']} {size['W']}")
        pair = reduced(torch.cat([image, label], dim=1), self.downsampling)
        pair = pair.contiguous(memory_format=torch.channels_last)
        logits = []
        for at, discriminator in enumerate(self.critics):
            if at:
                pair = F.avg_pool2d(pair, 3, stride=2, padding=1, count_include_pad=False)
            logits.append(discriminator(pair))
        return logits
