# SPDX-License-Identifier: Apache-2.0
"""The estimate of a network's size, against networks that were built."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings

SHIPPED = {"z_dim": 128, "w_dim": 128, "num_mapping_layers": 4, "channels": (128, 128, 128, 64, 32)}


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(image_size=64, num_classes=2, **SHIPPED),
        NetworkSettings(image_size=256, num_classes=8, image_channels=3, z_dim=96, w_dim=160),
        NetworkSettings(image_size=32, num_classes=20, channels=(16, 24, 8, 40), head_channels=12, w_dim=48),
        NetworkSettings(
            image_size=64, num_classes=3, channels=(16,) * 5, encoder_channels=(8, 16, 24, 40), head_channels=32,
            encoder_kind="official", w_dim=24,
        ),
        NetworkSettings(
            image_size=128, downsampling=2, num_classes=2, **SHIPPED, feature_sizes=(8, 16, 32), label_offsets=True,
            direct_widths=(8, 16, 24, 48, 96, 192),
        ),
    ],
    ids=["shipped", "stylegan2", "small", "official", "finer images"],
)  # fmt: skip
def test_the_estimate_is_near_the_number_of_parameters(settings: NetworkSettings) -> None:
    with torch.device("meta"):
        network = SemiGanSegmenter(**settings.arguments())
    actual = sum(parameter.numel() for parameter in network.parameters())

    assert settings.num_parameters == pytest.approx(actual, rel=0.05)
    assert settings.num_parameters <= actual  # weights alone


def test_networks_that_fill_the_memory_are_refused_unbuilt() -> None:
    with pytest.raises(ConfigError, match=r"at most 400 million parameters, got about 1559 million"):
        NetworkSettings(image_size=1024, num_classes=2, channels=(4096,) * 2 + (1024,) * 7)
    NetworkSettings(  # the official ones fit
        image_size=256, num_classes=8, image_channels=3, encoder_kind="official", encoder_channels=(64, 128, 256, 512),
        head_channels=512,
    )  # fmt: skip
