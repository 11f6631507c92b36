# SPDX-License-Identifier: Apache-2.0
"""A generator that renders less than the image: against the same weights on reduced images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from monai_semigan.errors import ConfigError, ShapeError
from monai_semigan.networks.downsampling import enlarged, reduced
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.settings import NetworkSettings

SIZES: dict[str, Any] = {
    "num_classes": 2,
    "z_dim": 6,
    "w_dim": 5,
    "num_mapping_layers": 2,
    "channels": [4, 4, 4, 4],
    "encoder_channels": [4, 4, 4, 4],
    "head_channels": 4,
    "feature_sizes": [8, 16],
    "label_offsets": True,
    "direct_widths": [4, 6, 8],
}


@pytest.fixture
def image() -> Tensor:
    return torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def pair() -> tuple[SemiGanSegmenter, SemiGanSegmenter]:
    """A network of 64 px whose generator renders 32, and one of 32 px with the same weights but the direct route."""
    torch.manual_seed(1)
    small = SemiGanSegmenter(image_size=32, **SIZES).eval()
    with torch.no_grad():
        for parameter in small.encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # offsets start at zero
    fine = SemiGanSegmenter(image_size=64, downsampling=2, **SIZES).eval()
    shared = {name: value for name, value in small.state_dict().items() if ".direct." not in name}
    fine.load_state_dict(shared, strict=False)
    return fine, small


def test_reduced_and_enlarged_keep_where_things_are() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[..., 4:8, 8:12] = 1.0

    small = reduced(image, 2)
    again = enlarged(small, 2)

    wanted = torch.zeros(8, 8)
    wanted[2:4, 4:6] = 1.0
    torch.testing.assert_close(small[0, 0], wanted)
    assert again.shape == image.shape and torch.equal(again > 0.5, image > 0.5)
    rows = torch.arange(16.0)
    assert float((again.sum(dim=3)[0, 0] * rows).sum() / again.sum()) == pytest.approx(5.5)
    assert reduced(image, 1) is image and enlarged(image, 1) is image


def test_all_but_the_direct_route_see_the_reduced_image(pair, image) -> None:
    fine, small = pair

    with torch.no_grad():
        drawn, wanted = fine.encoder.drawn(image), small.encoder.drawn(F.avg_pool2d(image, 2))
        rendered, label = fine.generator.synthesis(drawn)
        wanted_image, wanted_label = small.generator.synthesis(wanted)
        features = fine.d_image.features(image), small.d_image.features(F.avg_pool2d(image, 2))
        scores = fine.d_image(image), small.d_image(F.avg_pool2d(image, 2))

    torch.testing.assert_close(drawn.packed(), wanted.packed())
    assert rendered.shape == image.shape and label.shape == (2, 2, 64, 64)
    for found, expected in ((rendered, wanted_image), (label, wanted_label)):
        torch.testing.assert_close(
            found, F.interpolate(expected, size=(64, 64), mode="bilinear", align_corners=False), atol=1e-5, rtol=1e-4
        )
    for found, expected in zip(*features, strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*scores)


def test_the_direct_route_sees_the_image_whole(pair, image) -> None:
    fine, _ = pair
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.5 - 0.25  # its mean over 2 x 2 pixels is 0
    with torch.no_grad():
        direct = fine.encoder.direct(image)
        generated = fine(image), fine(image + board)
        fine.encoder.direct_share = 0.25
        mixed = fine(image), fine(image + board)

    assert direct.shape == (2, 2, 64, 64)
    torch.testing.assert_close(*generated, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[0], generated[0].lerp(direct, 0.25), atol=1e-5, rtol=1e-4)
    assert float((mixed[0] - mixed[1]).abs().max()) > 0.01


def test_the_pair_discriminator_judges_what_the_generator_can_render(image) -> None:
    torch.manual_seed(0)
    small = MultiscaleDiscriminator(num_scales=2, base_channels=4).eval()
    fine = MultiscaleDiscriminator(num_scales=2, base_channels=4, downsampling=2).eval()
    fine.load_state_dict(small.state_dict())
    label = torch.rand(2, 2, 64, 64) * 2 - 1

    with torch.no_grad():
        found = fine(image, label)
        expected = small(F.avg_pool2d(image, 2), F.avg_pool2d(label, 2))

    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_official_encoder_sees_the_reduced_image(image) -> None:
    settings = SIZES | {"encoder_kind": "official", "feature_sizes": [], "label_offsets": False, "direct_widths": []}
    torch.manual_seed(0)
    small = SemiGanSegmenter(image_size=32, **settings).eval()
    fine = SemiGanSegmenter(image_size=64, downsampling=2, **settings).eval()
    fine.load_state_dict(small.state_dict())

    with torch.no_grad():
        found, expected = fine.encoder(image).w_plus, small.encoder(F.avg_pool2d(image, 2)).w_plus

    torch.testing.assert_close(found, expected)


def test_images_of_the_generators_size_are_refused(pair) -> None:
    fine, _ = pair

    with pytest.raises(ShapeError, match="64"):
        fine.d_image(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ShapeError, match="divisible by 16, got 40 x 64"):
        fine.encoder.drawn(torch.zeros(1, 1, 40, 64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downsampling": 3}, "downsampling.*3"),
        ({"downsampling": 4}, "`downsampling` must leave 32 px, got 4 for images of 64 px"),
        ({"channels": [4] * 5}, r"`channels` must have 4 positive entries \(4, 8, ... 32 px\)"),
        ({"feature_sizes": [8, 64]}, r"`feature_sizes` must be some of 8, 16, 32"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message) -> None:
    settings = {"image_size": 64, "downsampling": 2, **SIZES} | changes

    for build in (NetworkSettings, SemiGanSegmenter):
        with pytest.raises(ConfigError, match=message):
            build(**settings)
