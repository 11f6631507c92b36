# SPDX-License-Identifier: Apache-2.0
"""The discriminator learns to tell; the network learns to pass, and its own labels where it passes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from monai_semigan.baselines.adversarial import Adversarial, AdversarialSettings, _taught
from monai_semigan.baselines.frame import Batch, LearningData
from monai_semigan.baselines.methods import BaselineSettings, build_network
from monai_semigan.baselines.pixel_discriminator import PixelDiscriminator


def made(data: LearningData, settings: BaselineSettings, **changes: float) -> Adversarial:
    torch.manual_seed(0)
    network = build_network("unet", settings, data.sizes)
    return Adversarial(settings.frame, network, replace(settings.adv_ssl, **changes), data.sizes)


def batch(data: LearningData, *, done: float) -> Batch:
    return Batch(data.labelled.images, data.labelled.targets, data.unlabelled.images[:4], done, 4)


def test_the_discriminator_learns_to_tell(data: LearningData, settings: BaselineSettings) -> None:
    method = made(data, settings)
    with torch.no_grad():
        drawn = method.network(data.labelled.images).softmax(dim=1)

    def margin() -> float:
        with torch.no_grad():
            return float(method.discriminator(data.labelled.targets).mean() - method.discriminator(drawn).mean())

    before = margin()
    for _ in range(30):
        loss = method._verdict_loss(data.labelled.targets, drawn)
        method._discriminator_optimizer.zero_grad()
        loss.backward()
        method._discriminator_optimizer.step()

    assert abs(before) < 0.5 and margin() > 2


def test_a_step_changes_both_and_the_discriminator_by_its_own_loss_alone(
    data: LearningData, settings: BaselineSettings
) -> None:
    method = made(data, settings)
    before = [parameter.clone() for parameter in method.discriminator.parameters()]
    network_before = [parameter.clone() for parameter in method.network.parameters()]
    seen: list[Tensor] = []
    verdict_loss = method._verdict_loss
    method._verdict_loss = lambda human, drawn: seen.append(drawn) or verdict_loss(human, drawn) * 0

    method.step(batch(data, done=0.5))

    assert not seen[0].requires_grad
    for old, new in zip(before, method.discriminator.parameters(), strict=True):
        decay = 1 - method._discriminator_optimizer.param_groups[0]["lr"] * settings.frame.weight_decay
        torch.testing.assert_close(new, old * decay)
    assert any(not torch.equal(a, b) for a, b in zip(network_before, method.network.parameters(), strict=True))


def test_unlabelled_images_are_seen_from_the_start_share_on(data: LearningData, settings: BaselineSettings) -> None:
    method = made(data, settings)
    seen: list[int] = []
    method.network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    method.step(batch(data, done=0.24))
    method.step(batch(data, done=0.25))
    assert seen == [4, 8]


def test_own_labels_are_learned_where_the_discriminator_is_sure() -> None:
    logits = torch.tensor([[0.0, 2.0], [0.0, -1.0]]).T.reshape(1, 2, 1, 2).requires_grad_()
    confidence = torch.tensor([[[[0.9, 0.1]]]])

    _taught(logits, confidence, 0.2).backward()

    assert logits.grad[0, :, 0, 0].abs().sum() > 0 and logits.grad[0, :, 0, 1].abs().sum() == 0
    step = logits.detach() - logits.grad
    assert (step.softmax(dim=1).amax(dim=1) > logits.softmax(dim=1).amax(dim=1))[0, 0].tolist() == [True, False]


def test_the_map_is_as_large_as_its_input_and_local() -> None:
    torch.manual_seed(0)
    network = PixelDiscriminator(channels=3, image_size=64, base_channels=4)
    label = torch.rand(2, 3, 64, 64, requires_grad=True)
    out = network(label)
    assert out.shape == (2, 1, 64, 64)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in network.layers) == 4
    out[0, 0, 2, 2].backward()
    assert label.grad[0, :, 60:, 60:].abs().sum() == 0 and label.grad[0, :, :8, :8].abs().sum() > 0


def test_defaults_are_the_papers() -> None:
    own = AdversarialSettings()
    assert (own.labelled_weight, own.unlabelled_weight, own.taught_weight, own.confidence) == (0.01, 0.001, 0.1, 0.2)
