# SPDX-License-Identifier: Apache-2.0
"""The flaw detector finds flaws; a network learns from the other where that one is trusted more."""

from __future__ import annotations

import torch

from monai_semigan.baselines.frame import Batch, LearningData
from monai_semigan.baselines.guided import Guided, flaw_target, trust
from monai_semigan.baselines.methods import BaselineSettings, build_network


def made(data: LearningData, settings: BaselineSettings) -> Guided:
    torch.manual_seed(0)
    networks = [build_network("gct", settings, data.sizes) for _ in range(2)]
    return Guided(settings.frame, networks, settings.gct, data.sizes)


def test_the_networks_start_apart(data: LearningData, settings: BaselineSettings) -> None:
    method = made(data, settings)
    assert not torch.equal(method.first(data.labelled.images), method.second(data.labelled.images))


def test_a_flaw_is_where_the_label_is_wrong() -> None:
    target = torch.zeros(1, 2, 9, 11)
    target[:, 0] = 1
    label = target.clone()
    label[0, :, 2, 3] = torch.tensor([0.1, 0.9])

    flaw = flaw_target(label, target)

    assert flaw.shape == (1, 1, 9, 11) and float(flaw[0, 0, 2, 3]) == 1.0
    assert flaw[0, 0, :4, 1:6].min() > 0 and flaw[0, 0, 6:].max() == 0
    slightly = target * 0.98 + 0.01
    assert flaw_target(slightly, target).max() < 0.05, "a correct label has no flaw, however it is scaled"


def test_who_learns_from_whom() -> None:
    own, other = torch.tensor([0.5, 0.1, 0.9, 0.7]), torch.tensor([0.2, 0.4, 0.3, 0.8])

    learns, corrects = trust(own, other, 0.6)

    assert learns.tolist() == [1, 0, 1, 0] and corrects.tolist() == [0, 0, 0, 1]


def test_the_detector_draws_higher_where_labels_are_wrong(data: LearningData, settings: BaselineSettings) -> None:
    method = made(data, settings)
    image, target = data.labelled.images, data.labelled.targets
    wrong = target.clone()
    wrong[:, :, :16] = target[:, :, :16].flip(1)  # the upper half says the opposite
    for _ in range(80):
        loss = method._detector_loss(image, target, [wrong, target])
        method._detector_optimizer.zero_grad()
        loss.backward()
        method._detector_optimizer.step()

    with torch.no_grad():
        flaw, clean = method.flaws(image, wrong), method.flaws(image, target)

    assert flaw[:, :, :12].mean() > flaw[:, :, 20:].mean() + 0.3
    assert flaw[:, :, :12].mean() > clean[:, :, :12].mean() + 0.3


def test_consistency_moves_the_distrusted_network_alone(data: LearningData, settings: BaselineSettings) -> None:
    """With labels that cost nothing, only the network with the larger flaw gets a gradient from the consistency."""
    method = made(data, settings)
    maps = iter([torch.full((8, 1, 32, 32), 0.5), torch.full((8, 1, 32, 32), 0.2)])
    method.flaws = lambda image, label: next(maps) + 0 * label[:, :1]
    method.own = type(method.own)(consistency_weight=100.0, correction_weight=0.0, ramp_up=0.0)
    method._detector_loss = lambda *_: method.detector.layers[0].weight.sum() * 0
    grads = {}
    for weight in (0.0, 100.0):
        maps = iter([torch.full((8, 1, 32, 32), 0.5), torch.full((8, 1, 32, 32), 0.2)])
        method.own = type(method.own)(consistency_weight=weight, correction_weight=0.0, ramp_up=0.0)
        for optimizer in method.optimizers:
            optimizer.param_groups[0]["lr"] = 0.0
        torch.manual_seed(1)
        method.step(Batch(data.labelled.images, data.labelled.targets, data.unlabelled.images[:4], 0.5, 4))
        grads[weight] = [network.final_conv.weight.grad.clone() for network in method.candidates]

    direction = [
        torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)
        for a, b in zip(grads[0.0], grads[100.0], strict=True)
    ]
    assert direction[0] < 0.999 and direction[1] > 0.9999  # clipped together, so lengths differ


def test_a_step_lowers_the_loss_and_moves_all_three(data: LearningData, settings: BaselineSettings) -> None:
    method = made(data, settings)
    parts = (method.first, method.second, method.detector)
    before = [next(iter(part.parameters())).clone() for part in parts]
    step = Batch(data.labelled.images, data.labelled.targets, data.unlabelled.images[:4], 0.5, 4)
    losses = [float(method.step(step)) for _ in range(25)]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(old, next(iter(part.parameters()))) for old, part in zip(before, parts, strict=True))
