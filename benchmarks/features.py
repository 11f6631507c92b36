# SPDX-License-Identifier: Apache-2.0
"""The official program's perceptual network in shape: VGG16's convolutions with random weights.

Speed does not depend on the weights, and nothing has to be downloaded. Channels and depth are those of configuration D
(Simonyan and Zisserman 2015, table 1); features are taken before each pooling, as LPIPS does (Zhang et al. 2018).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["VggFeatures", "unit_map_distance"]

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
EPSILON = 1e-8
"""As in `monai_semigan.losses.perceptual`, so that both distances are equal."""


class VggFeatures(nn.Module):
    """Five feature maps of an image ``(N, C, S, S)``; one channel is repeated to three.

    Args:
        channels_last: Memory format of the activations.
    """

    def __init__(self, *, channels_last: bool) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        generator = torch.Generator().manual_seed(1)
        channels, stages = 3, []
        for widths in STAGES:
            convs = []
            for width in widths:
                conv = nn.Conv2d(channels, width, 3, padding=1)
                with torch.no_grad():
                    conv.weight.normal_(std=(2 / (9 * channels)) ** 0.5, generator=generator)
                    torch.nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                convs.append(conv)
                channels = width
            stages.append(nn.ModuleList(convs))
        self.stages = nn.ModuleList(stages)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = image.expand(-1, 3, -1, -1).contiguous(memory_format=self.memory_format)
        maps = []
        for index, stage in enumerate(self.stages):
            x = x if index == 0 else F.max_pool2d(x, 2)
            for conv in stage:  # type: ignore[attr-defined]
                x = F.relu_(F.conv2d(x, conv.weight.to(x.dtype), conv.bias.to(x.dtype), padding=1))
            maps.append(x)
        return maps


def unit_map_distance(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """LPIPS with equal weights as its equation 1 reads: unit maps, squared difference, mean; ``(N,)``."""
    total = ours[0].new_zeros(len(ours[0]))
    for a, b in zip(ours, theirs, strict=True):
        a_unit, b_unit = (x / (x.square().sum(dim=1, keepdim=True) + EPSILON).sqrt() for x in (a, b))
        total = total + (a_unit - b_unit).square().sum(dim=1).flatten(1).mean(dim=1)
    return total / len(ours)
