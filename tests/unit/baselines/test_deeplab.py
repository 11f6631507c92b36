# SPDX-License-Identifier: Apache-2.0
"""The network has the paper's parts: a coarse view of all, and fine borders."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.baselines.deeplab import DeepLabSettings, DeepLabV3Plus
from monai_semigan.baselines.frame import Sizes
from monai_semigan.errors import ConfigError


@pytest.mark.parametrize("sizes", [Sizes(1, 2, 64), Sizes(3, 5, 32)])
def test_logits_have_the_images_size(sizes: Sizes) -> None:
    network = DeepLabV3Plus(sizes, DeepLabSettings(trunk=(1, 1, 1, 2), pyramid=1, fine=1))
    image = torch.rand(2, sizes.image_channels, sizes.image_size, sizes.image_size)
    assert network(image).shape == (2, sizes.num_classes, sizes.image_size, sizes.image_size)


def test_every_part_learns() -> None:
    torch.manual_seed(0)
    network = DeepLabV3Plus(Sizes(1, 2, 64), DeepLabSettings(trunk=(1, 1, 2, 2), pyramid=1, fine=1))
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    for part in ("stem", "trunk", "pyramid", "pooled", "joined", "fine", "decoder"):
        grads = [parameter.grad for parameter in getattr(network, part).parameters()]
        assert any(grad is not None and grad.abs().sum() > 0 for grad in grads), part


@pytest.mark.parametrize(("size", "rates"), [(64, [1, 3, 4]), (256, [6, 12, 18]), (520, [12, 24, 36])])
def test_rates_are_the_papers_shares_of_the_map(size: int, rates: list[int]) -> None:
    network = DeepLabV3Plus(Sizes(1, 2, size), DeepLabSettings(trunk=(1, 1, 1, 1), pyramid=1, fine=1))
    assert [conv.dilation[0] for conv in network.pyramid.convs] == [1, *rates]
    assert [conv.kernel_size[0] for conv in network.pyramid.convs] == [1, 3, 3, 3]


def test_a_far_pixel_reaches_a_logit() -> None:
    torch.manual_seed(0)
    network = DeepLabV3Plus(Sizes(1, 2, 64), DeepLabSettings(trunk=(1, 1, 2, 2), pyramid=1, fine=1)).eval()
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(image)[0, 1, 0, 0].backward()
    assert image.grad[0, 0, 60:, 60:].abs().sum() > 0


def test_widths_are_checked() -> None:
    with pytest.raises(ConfigError, match="pyramid"):
        DeepLabSettings(pyramid=0)
