# SPDX-License-Identifier: Apache-2.0
"""Weights and features lie in memory as a CPU's convolutions take them; to lay them out at each call costs time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_semigan.networks.encoder import Encoder
from monai_semigan.networks.label_unet import LabelUNet


def encoder(image_channels: int) -> nn.Module:
    return Encoder(
        image_channels=image_channels,
        num_layers=8,
        w_dim=8,
        channels=(4, 6, 8, 8),
        feature_channels={1: 4},
        downsampling=2,
    )


def unet(image_channels: int) -> nn.Module:
    return LabelUNet(image_channels=image_channels, num_classes=2, widths=(4, 6, 8), downsampling=2)


@pytest.mark.parametrize("image_channels", [1, 3])
@pytest.mark.parametrize("make", [encoder, unet])
def test_every_convolution_gets_channels_last(make, image_channels: int) -> None:
    network = make(image_channels)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    network.load_state_dict(state)  # as files of earlier versions have them
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    seen: list[tuple[Tensor, Tensor]] = []
    for conv in convs:
        conv.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))

    network(torch.rand(2, image_channels, 64, 64))

    assert len(seen) == len(convs) > 5
    assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in convs)
    assert all(features.is_contiguous(memory_format=torch.channels_last) for pair in seen for features in pair)
