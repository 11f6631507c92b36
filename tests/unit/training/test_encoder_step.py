# SPDX-License-Identifier: Apache-2.0
"""One iteration of the encoder: who learns, from what, at which rate."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep, _schedule
from monai_semigan.training.perturb import PerturbSettings

LOSSES = {
    "image_weight": "loss_image",
    "perceptual_weight": "loss_perceptual",
    "label_weight": "loss_label",
    "generated_label_weight": "loss_label_generated",
    "latent_weight": "loss_latent",
    "average_weight": "loss_average",
}
STILL = {
    "warp": AugmentSettings(probability=0.0, target_sign=None),
    "perturb": PerturbSettings(probability=0.0),
}


def batch(n: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    unlabelled, labelled = torch.rand(2, n, 1, 32, 32, generator=rng) * 2 - 1
    foreground = (torch.rand(n, 1, 32, 32, generator=rng) > 0.5).float()
    return unlabelled, labelled, torch.cat([1 - foreground, foreground], dim=1)


def run(step: EncoderStep, **changes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return step(*batch(), **({"images_seen": 50, "total_images": 100} | changes))


def test_only_the_encoder_and_its_average_learn(make_segmenter):
    network = make_segmenter()
    before = copy.deepcopy(network.state_dict())
    step = EncoderStep(network, EncoderSettings(ema_half_life_kimg=0.001))
    start = copy.deepcopy(step.encoder_ema.state_dict())

    run(step)

    changed = {
        name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"encoder"}
    assert any(not torch.equal(value, start[name]) for name, value in step.encoder_ema.state_dict().items())
    assert all(p.grad is None for p in network.generator.parameters())
    assert all(p.requires_grad for p in network.generator.parameters())
    assert not any(p.requires_grad for p in step.encoder_ema.parameters())


def test_it_starts_at_the_mean_of_w_of_its_generator(make_segmenter):
    network = make_segmenter()
    network.generator.mapping.latent_avg.normal_()

    step = EncoderStep(network, EncoderSettings())

    assert torch.equal(step.encoder.latent_avg, network.generator.mapping.latent_avg)
    assert torch.equal(step.encoder_ema.latent_avg, network.generator.mapping.latent_avg)
    mean = network.generator.mapping.latent_avg.clone()
    run(step)
    assert torch.equal(network.generator.mapping.latent_avg, mean)


@pytest.mark.parametrize("weight", list(LOSSES))
def test_each_term_alone_gives_the_encoder_a_gradient(make_segmenter, weight):
    step = EncoderStep(make_segmenter(), EncoderSettings(**(dict.fromkeys(LOSSES, 0.0) | {weight: 1.0})))

    stats = run(step)

    assert stats[LOSSES[weight]] > 0
    assert stats["gradient_norm"] > 0


def test_without_any_term_nothing_moves(make_segmenter):
    network = make_segmenter()
    before = copy.deepcopy(network.encoder.state_dict())

    stats = run(EncoderStep(network, EncoderSettings(**dict.fromkeys(LOSSES, 0.0))))

    assert stats["gradient_norm"] == 0
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())


def test_statistics_are_finite_numbers_without_graph(make_segmenter):
    stats = run(EncoderStep(make_segmenter(), EncoderSettings()))

    assert set(stats) == {*LOSSES.values(), "gradient_norm"}
    assert all(value.ndim == 0 and bool(value.isfinite()) and not value.requires_grad for value in stats.values())


def test_the_label_loss_reads_the_labelled_images(make_segmenter):
    """The label of the labelled third is compared, not that of the unlabelled one."""
    step = EncoderStep(make_segmenter(), EncoderSettings(**STILL))
    unlabelled, labelled, _ = batch()
    with torch.no_grad():
        own = step.segmenter(labelled).softmax(dim=1)

    torch.manual_seed(2)
    stats = step(unlabelled, labelled, own, images_seen=50, total_images=100)

    entropy = -(own * own.log()).sum(dim=1).mean()
    torch.testing.assert_close(
        stats["loss_label"] - entropy,
        (1 - (2 * own[:, 1].square().sum(dim=(1, 2)) + 1) / (2 * own[:, 1].sum(dim=(1, 2)) + 1)).mean(),
        atol=1e-4,
        rtol=1e-4,
    )


def test_image_and_label_are_warped_alike(make_segmenter):
    step = EncoderStep(
        make_segmenter(), EncoderSettings(warp=AugmentSettings(probability=0.8, brightness=0.0, contrast=0.0))
    )
    torch.manual_seed(0)
    unlabelled, labelled = torch.rand(2, 3, 1, 16, 16)

    real, target = step._warp(torch.cat([unlabelled, labelled]), torch.cat([1 - labelled, labelled], dim=1))

    torch.testing.assert_close(real[3:], target[:, 1:])


def test_generated_samples_come_with_their_styles(make_segmenter):
    step = EncoderStep(make_segmenter(), EncoderSettings())

    w_plus, image, label = step._generate(3)

    with torch.no_grad():  # the noise strengths are still zero
        expected_image, expected_logits = step.generator.synthesis(w_plus)
    torch.testing.assert_close(image, expected_image)
    torch.testing.assert_close(label, expected_logits.softmax(dim=1))


FEATURE_LOSSES = {"feature_weight": "loss_features", "generated_feature_weight": "loss_features_generated"}


@pytest.mark.parametrize("weight", list(FEATURE_LOSSES))
def test_offsets_are_pulled_to_zero_on_real_and_on_generated_images(make_segmenter, weight):
    settings = dict.fromkeys((*LOSSES, *FEATURE_LOSSES), 0.0) | {weight: 1.0}
    step = EncoderStep(make_segmenter(feature_sizes=[8, 16]), EncoderSettings(**settings))

    stats = run(step)

    assert set(stats) == {*LOSSES.values(), *FEATURE_LOSSES.values(), "gradient_norm"} - {"loss_perceptual"}
    assert stats[FEATURE_LOSSES[weight]] > 0 and stats["gradient_norm"] > 0
    assert all(bool(output.weight.grad.any()) for output in step.encoder.pyramid.outputs.values())
    later = [run(step)[FEATURE_LOSSES[weight]] for _ in range(5)]
    assert later[-1] < later[0] < stats[FEATURE_LOSSES[weight]]


def test_real_images_are_those_behind_the_generated(make_segmenter):
    step = EncoderStep(make_segmenter(feature_sizes=[8, 16]), EncoderSettings(**STILL))
    unlabelled, labelled, _ = batch()
    with torch.no_grad():
        expected = step.encoder(torch.cat([unlabelled, labelled])).feature_distance().mean()

    torch.testing.assert_close(run(step)["loss_features"], expected)


def test_labels_alone_teach_the_offsets(make_segmenter):
    step = EncoderStep(
        make_segmenter(feature_sizes=[8, 16]),
        EncoderSettings(**(dict.fromkeys((*LOSSES, *FEATURE_LOSSES), 0.0) | {"label_weight": 1.0})),
    )

    run(step)

    assert all(bool(output.weight.grad.any()) for output in step.encoder.pyramid.outputs.values())


def test_weights_from_before_learn_at_their_own_rate(make_segmenter):
    network = make_segmenter(feature_sizes=[8])
    started = {name for name in network.encoder.state_dict() if not name.startswith("pyramid.")}
    step = EncoderStep(network, EncoderSettings(learning_rate=0.01, trunk_rate=0.25, warm_up=0.0), started=started)
    before = copy.deepcopy(step.encoder.state_dict())

    run(step, images_seen=0)

    moves = {name: (value - before[name]).abs().max() for name, value in step.encoder.state_dict().items()}
    fresh = [move for name, move in moves.items() if name not in started]
    old = [moves[name] for name, _ in step.encoder.named_parameters() if name in started]
    assert max(fresh) == pytest.approx(0.01, rel=0.01) and max(old) == pytest.approx(0.0025, rel=0.01)
    assert len(fresh) + len(old) == len(list(step.encoder.parameters()))


def test_gradients_are_clipped(make_segmenter):
    step = EncoderStep(make_segmenter(), EncoderSettings(image_weight=1e6, max_gradient=0.5))

    stats = run(step)

    norm = torch.stack([p.grad.norm() for p in step.encoder.parameters() if p.grad is not None]).norm()
    assert stats["gradient_norm"] > 10
    assert norm.item() == pytest.approx(0.5, rel=1e-3)


def test_the_rate_rises_and_falls():
    settings = EncoderSettings(learning_rate=1.0, warm_up=0.1, cool_down=0.4)
    rates = [_schedule(at / 100, settings) for at in range(101)]

    assert 0 < rates[0] < 0.02
    assert rates[10:61] == [pytest.approx(1.0)] * 51
    assert rates[80] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert _schedule(1.2, settings) == 0
    assert _schedule(0.0, EncoderSettings(warm_up=0.0, cool_down=0.0)) == 1


def test_the_rate_in_use_is_that_of_the_schedule(make_segmenter):
    settings = EncoderSettings(learning_rate=0.01)
    step = EncoderStep(make_segmenter(), settings)

    run(step, images_seen=80)

    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * _schedule(0.8, settings))


def test_another_distance_can_be_named(make_segmenter):
    class Distance:
        def prepare(self, target):
            return [target]

        def __call__(self, image, prepared):
            return (image - prepared[0]).abs().mean(dim=(1, 2, 3)) * 0 + 3

    assert run(EncoderStep(make_segmenter(), EncoderSettings(), distance=Distance()))["loss_perceptual"] == 3


def test_the_state_continues_an_iteration_exactly(make_segmenter):
    step, other = (EncoderStep(make_segmenter(seed=seed), EncoderSettings()) for seed in (0, 0))
    run(step)
    other.load_state_dict(copy.deepcopy(step.state_dict()))

    first, second = run(step), run(other)

    assert first == second
    for name, value in step.encoder.state_dict().items():
        assert torch.equal(value, other.encoder.state_dict()[name]), name
