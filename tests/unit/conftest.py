# SPDX-License-Identifier: Apache-2.0
"""Builders of tiny networks that the tests of the numerical core share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from slices_and_skin import make_ct, make_mr, make_skin, trunk  # noqa: F401  (fixtures)

from monai_semigan.networks.generator import Generator
from monai_semigan.networks.segmenter import SemiGanSegmenter


@pytest.fixture
def make_generator() -> Callable[..., Generator]:
    """Build a seeded generator; settings can be replaced."""

    def make(image_size: int = 32, *, seed: int = 0, **settings: object) -> Generator:
        torch.manual_seed(seed)
        num_sizes = image_size.bit_length() - 2
        defaults = {"num_classes": 2, "z_dim": 6, "w_dim": 5, "num_mapping_layers": 2, "channels": [4] * num_sizes}
        return Generator(image_size=image_size, **(defaults | settings))

    return make


@pytest.fixture
def make_segmenter() -> Callable[..., SemiGanSegmenter]:
    """Build a seeded segmenter of 32 px whose encoder reads its input: its heads and offsets do not start near zero."""

    def make(*, seed: int = 0, num_classes: int = 2, feature_sizes: Sequence[int] = ()) -> SemiGanSegmenter:
        torch.manual_seed(seed)
        network = SemiGanSegmenter(
            image_size=32,
            num_classes=num_classes,
            z_dim=6,
            w_dim=5,
            num_mapping_layers=2,
            channels=[4, 4, 4, 4],
            encoder_channels=[4, 4, 4, 4],
            head_channels=4,
            feature_sizes=feature_sizes,
        )
        with torch.no_grad():
            for head in network.encoder.heads:
                torch.nn.init.normal_(head.weight, std=0.5)
            for output in network.encoder.pyramid.outputs.values() if feature_sizes else ():
                torch.nn.init.normal_(output.weight, std=0.1)
        return network.eval()

    return make
