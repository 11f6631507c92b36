# SPDX-License-Identifier: Apache-2.0
"""What is optimized, styles or offsets of features, and in which number type."""

from __future__ import annotations

import pytest
import torch
from inversion_builder import inversion

from monai_semigan.errors import ConfigError
from monai_semigan.networks.embedding import Embedding


@pytest.fixture
def spatial(make_segmenter):
    return make_segmenter(feature_sizes=[8, 16])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("optimize", ["styles", "features", "both"])
def test_what_is_to_be_optimized_moves_and_lowers_the_loss(spatial, images, optimize, optimizer):
    result = inversion(spatial, steps=12, optimize=optimize, optimizer=optimizer)(images)

    assert bool((result.trace.amin(dim=1) < 0.97 * result.trace[:, 0]).all())
    assert torch.equal(result.embedding.w_plus, result.encoded.w_plus) == (optimize == "features")
    for after, before in zip(result.embedding.features, result.encoded.features, strict=True):
        assert torch.equal(after, before) == (optimize == "styles")


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_styles_and_offsets_together_get_furthest(make_segmenter, images, seed):
    network, random = make_segmenter(feature_sizes=[8]), torch.Generator().manual_seed(seed)
    with torch.no_grad():  # an image that differs in both from what the encoder says of it
        start = network.encoder(images)
        moved = Embedding(
            start.w_plus + torch.randn(start.w_plus.shape, generator=random),
            tuple(offset + 0.5 * torch.randn(offset.shape, generator=random) for offset in start.features),
        )
        wanted = network.generator.synthesis.image(moved)

    ends = {
        name: inversion(network, steps=30, optimize=name)(wanted).trace.amin(dim=1).mean()
        for name in ("styles", "features", "both")
    }

    assert ends["both"] < 0.8 * min(ends["styles"], ends["features"])


@pytest.mark.parametrize("settings", [{}, {"optimizer": "lbfgs", "steps": 4}])
def test_each_image_goes_its_way_with_offsets(spatial, images, settings):
    invert = inversion(spatial, optimize="both", **settings)
    together = invert(images)

    for at in range(3):
        alone = invert(images[at : at + 1])
        torch.testing.assert_close(together.embedding[[at]].packed(), alone.embedding.packed(), atol=1e-4, rtol=1e-4)


def test_offsets_have_a_pull_of_their_own(spatial, images):
    free, pulled = (
        inversion(spatial, steps=15, optimize="both", encoder_weight=0.0, feature_weight=weight)(images)
        for weight in (0.0, 300.0)
    )

    moved = [result.embedding.feature_distance(result.encoded).mean() for result in (free, pulled)]
    assert 0 < moved[1] < 0.3 * moved[0]


def test_offsets_are_optimized_in_bfloat16_too(spatial, images, bfloat16_hardware):
    bfloat16_hardware(None)
    result = inversion(spatial, optimize="both", compute_dtype="bfloat16")(images)

    assert bool((result.trace.amin(dim=1) < result.trace[:, 0]).all())
    assert {value.dtype for value in result.embedding.features} == {torch.float32}


@pytest.mark.parametrize("optimize", ["features", "both"])
def test_offsets_that_are_not_there_cannot_be_optimized(network, images, optimize):
    with pytest.raises(ConfigError, match=f"`optimize` must be styles for an encoder .*, got {optimize}"):
        inversion(network, optimize=optimize)(images)


def test_bfloat16_is_near_float32_and_leaves_float32_behind(network, images, bfloat16_hardware):
    bfloat16_hardware(None)
    exact, narrow = (inversion(network, compute_dtype=name)(images) for name in ("float32", "bfloat16"))

    assert not torch.equal(narrow.trace, exact.trace)
    torch.testing.assert_close(narrow.trace, exact.trace, rtol=0.03, atol=0)
    assert narrow.embedding.w_plus.dtype == narrow.trace.dtype == torch.float32
    assert network.generator.synthesis.compute_dtype is None
    kept = inversion(network, compute_dtype="bfloat16")(images, keep_at=(0,)).kept[0]
    assert kept.w_plus.dtype == torch.float32


def test_bfloat16_without_hardware_is_float32_and_says_so_once(network, images, bfloat16_hardware, caplog):
    expected = inversion(network)(images)
    bfloat16_hardware("the processor is old")

    result = inversion(network, compute_dtype="bfloat16")(images)

    torch.testing.assert_close(result.embedding.w_plus, expected.embedding.w_plus, rtol=0, atol=0)
    assert caplog.messages == [
        "bfloat16 would be slow here, as the processor is old: the inversion computes in float32."
    ]


def test_auto_without_hardware_is_float32_in_silence(network, images, bfloat16_hardware, caplog):
    bfloat16_hardware("the processor is old")

    torch.testing.assert_close(
        inversion(network, compute_dtype="auto")(images).embedding.w_plus,
        inversion(network)(images).embedding.w_plus,
        rtol=0,
        atol=0,
    )
    assert caplog.messages == []
