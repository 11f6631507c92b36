# SPDX-License-Identifier: Apache-2.0
"""An encoder learns a few labelled images; nothing else moves, and the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.training.adaptation import AdaptationSettings, EncoderAdaptation
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.pool import ImagePool, LabelledPool
from monai_semigan.training.pool_scores import mean_dice


def halves(count: int = 3) -> LabelledPool:
    """Images that are bright on one side, whose label is the bright side."""
    ramp = torch.linspace(-1, 1, 32).expand(count, 1, 32, 32).clone()
    for at in range(count):
        ramp[at] = (ramp[at] + 0.2 * at).clamp(-1, 1)
    inside = (ramp > 0).float()
    return LabelledPool(ramp, torch.cat([1 - inside, inside], dim=1))


@torch.no_grad()
def dice(network: SemiGanSegmenter, pool: LabelledPool) -> float:
    return float(mean_dice(network(pool.images), pool.targets).mean())


@pytest.mark.parametrize("feature_sizes", [(), (8, 16)])
def test_it_learns_what_the_labels_show(make_segmenter, feature_sizes) -> None:
    network, pool = make_segmenter(feature_sizes=feature_sizes), halves()
    before = dice(network, pool)
    training = EncoderAdaptation(network, pool, AdaptationSettings(batch_size=4, learning_rate=5e-3, half_life=2.0))

    training.advance(60)

    assert training.steps == 60
    assert dice(training.adapted(), pool) > max(before + 0.1, 0.8)
    assert dice(network, pool) == before


def test_unlabelled_images_teach_from_a_step_on(make_segmenter) -> None:
    network, pool = make_segmenter(feature_sizes=(8,)), halves()
    others = ImagePool(halves(2).images.flip(3))
    settings = AdaptationSettings(batch_size=2, unlabelled_batch=3, unlabelled_after=2)

    def run(steps: int, unlabelled: ImagePool | None, **changes: float) -> torch.Tensor:
        training = EncoderAdaptation(network, pool, replace(settings, **changes), unlabelled=unlabelled)
        training.advance(steps)
        return training.average(pool.images).features[0]

    assert torch.equal(run(2, others), run(2, None)), "until then the average labels as elsewhere"
    assert not torch.equal(run(4, others), run(4, None))
    assert torch.equal(run(4, others, unlabelled_weight=0.0), run(4, None))
    assert torch.equal(run(4, others), run(4, others))


def test_what_unlabelled_images_are_taught_is_the_average_s_label(make_segmenter) -> None:
    network, others = make_segmenter(feature_sizes=(8,)), ImagePool(halves(3).images.flip(3))
    still = AugmentSettings(probability=0.0, max_probability=1.0, target_sign=None)
    settings = AdaptationSettings(batch_size=2, unlabelled_batch=3, unlabelled_after=0, warp=still)
    training = EncoderAdaptation(network, halves(), settings, unlabelled=others)

    image, taught = training._taught()

    with torch.no_grad():
        wanted = network.generator.synthesis(network.encoder(image))[1].softmax(dim=1)
    assert torch.allclose(taught, wanted, atol=1e-6)
    assert {tuple(part.flatten()[:5].tolist()) for part in image} == {
        tuple(part.flatten()[:5].tolist()) for part in others.images
    }


def test_the_generator_stays(make_segmenter) -> None:
    network, pool = make_segmenter(feature_sizes=(8,)), halves()
    training = EncoderAdaptation(network, pool, AdaptationSettings(batch_size=2))

    training.advance(3)

    before, after = network.encoder(pool.images), training.average(pool.images)
    assert not torch.equal(before.w_plus, after.w_plus) and not torch.equal(before.features[0], after.features[0])
    generator = training.adapted().generator.state_dict()
    assert all(torch.equal(value, generator[name]) for name, value in network.generator.state_dict().items())


def test_the_same_seed_gives_the_same_encoder_however_it_is_cut(make_segmenter) -> None:
    network, pool, settings = make_segmenter(feature_sizes=(8,)), halves(), AdaptationSettings(batch_size=2)

    def run(seed: int, *parts: int) -> torch.Tensor:
        training = EncoderAdaptation(network, pool, settings, seed=seed)
        for steps in parts:
            torch.rand(7)  # what happens between does not matter
            training.advance(steps)
        return training.average(pool.images).features[0]

    assert torch.equal(run(1, 4), run(1, 1, 3))
    assert not torch.equal(run(1, 4), run(2, 4))


def test_the_global_random_state_is_left_alone(make_segmenter) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    EncoderAdaptation(make_segmenter(), halves(), AdaptationSettings(batch_size=2)).advance(1)
    torch.manual_seed(5)
    training = EncoderAdaptation(make_segmenter(), halves(), AdaptationSettings(batch_size=2))
    torch.manual_seed(5)
    training.advance(1)
    assert torch.equal(torch.rand(2), wanted)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        AdaptationSettings(learning_rate=0)
