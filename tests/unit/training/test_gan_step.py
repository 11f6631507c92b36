"""Where the gradients of one iteration go."""

from __future__ import annotations

import copy

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.networks.discriminator import ImageDiscriminator
from monai_semigan.networks.generator import Generator
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep, label_to_discriminator


def make_step(**settings) -> GanStep:
    torch.manual_seed(0)
    generator = Generator(image_size=32, num_classes=2, z_dim=8, w_dim=8, num_mapping_layers=2, channels=[4, 4, 4, 4])
    networks = GanNetworks(
        generator,
        copy.deepcopy(generator),
        ImageDiscriminator(image_size=32, channels=[4, 4, 4, 4]),
        MultiscaleDiscriminator(num_scales=1, base_channels=4),
    )
    return GanStep(
        networks,
        GanSettings(**settings),
        augment_image=AugmentSettings(),
        augment_pair=AugmentSettings(probability=0.8),
    )


def batch(n: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    target = torch.rand(n, 1, 32, 32)
    return torch.randn(n, 1, 32, 32), torch.randn(n, 1, 32, 32), torch.cat([1 - target, target], dim=1)


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", ["d_image", "d_pair"])
def test_r1_reaches_the_discriminator(name):
    """With and without the penalty an iteration leaves different discriminators: it is not lost on frozen weights."""
    gammas = {"d_image": "r1_gamma", "d_pair": "r1_gamma_pair"}
    off, on = make_step(**{gammas[name]: 0.0}), make_step(**{gammas[name]: 1000.0})
    for step in (off, on):
        torch.manual_seed(2)
        step(*batch(), images_seen=0)

    assert not torch.allclose(weights(getattr(off.networks, name)), weights(getattr(on.networks, name)))
    other = "d_pair" if name == "d_image" else "d_image"
    torch.testing.assert_close(weights(getattr(off.networks, other)), weights(getattr(on.networks, other)))


@pytest.mark.parametrize("name", ["d_image", "d_pair"])
def test_strong_r1_lowers_the_gradient_norm(name):
    gamma = {"d_image": "r1_gamma", "d_pair": "r1_gamma_pair"}[name]
    step = make_step(r1_interval=1, learning_rate=0.01, **{gamma: 1e4})
    key = {"d_image": "r1_image", "d_pair": "r1_pair"}[name]

    values = [float(step(*batch(), images_seen=0)[key]) for _ in range(12)]

    assert sum(values[-3:]) < 0.5 * sum(values[:3])


def test_lazy_penalties_come_at_their_intervals():
    step = make_step(r1_interval=3, path_length_interval=2)

    seen = [set(step(*batch(), images_seen=0)) for _ in range(4)]

    assert [("r1_image" in s, "r1_pair" in s, "path_length" in s) for s in seen] == [
        (True, True, True), (False, False, False), (False, False, True), (True, True, False),
    ]  # fmt: skip


def test_discriminator_steps_leave_the_generator_alone():
    step = make_step()
    unlabelled, labelled, target = batch()
    before = weights(step.networks.generator)

    step._step_d_image(unlabelled, torch.randn(4, 1, 32, 32))
    step._step_d_pair(labelled, target * 2 - 1, torch.randn(4, 1, 32, 32), torch.randn(4, 2, 32, 32))

    torch.testing.assert_close(weights(step.networks.generator), before)


def test_pair_loss_reaches_label_heads_and_trunk_but_no_image_head():
    step = make_step()
    generator, d_pair = step.networks.generator, step.networks.d_pair
    image, label_logits = generator(torch.randn(2, 8))

    sum(scale.mean() for scale in d_pair(image.detach(), label_to_discriminator(label_logits))).backward()

    for block in generator.synthesis.blocks:
        assert all(p.grad is None for p in block.to_image.parameters())
        assert block.to_label.weight.grad.abs().sum() > 0
        assert block.conv.weight.grad.abs().sum() > 0
    assert generator.mapping.layers[0].weight.grad.abs().sum() > 0


def test_generator_step_leaves_the_discriminators_alone():
    step = make_step()
    image, label_logits = step.networks.generator(torch.randn(2, 8))
    before = weights(step.networks.d_image), weights(step.networks.d_pair)

    step._step_generator(image, label_to_discriminator(label_logits))

    torch.testing.assert_close(weights(step.networks.d_image), before[0])
    torch.testing.assert_close(weights(step.networks.d_pair), before[1])
    assert all(p.requires_grad for p in step.networks.d_image.parameters())


def test_generated_labels_are_probabilities_scaled_like_masks():
    label = label_to_discriminator(torch.randn(2, 3, 4, 4) * 10)

    assert label.min() >= -1 and label.max() <= 1
    torch.testing.assert_close(((label + 1) / 2).sum(dim=1), torch.ones(2, 4, 4))


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="`image_loss` must be one of logistic, hinge, got 'wasserstein'"):
        GanSettings(image_loss="wasserstein")
    with pytest.raises(ConfigError, match="`r1_interval`"):
        GanSettings(r1_interval=0)
