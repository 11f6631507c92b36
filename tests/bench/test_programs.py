# SPDX-License-Identifier: Apache-2.0
"""The base computes what ours computes, in float64 to the last digits: forward, inversion step, training step."""

from __future__ import annotations

import copy

import pytest
import torch

from benchmarks.features import VggFeatures, unit_map_distance
from benchmarks.grouped import grouped
from benchmarks.programs import (
    GROUPED,
    OURS,
    BaseProgram,
    OurProgram,
    build_programs,
    full_generator,
    require_equal,
    styles_and_target,
)
from monai_semigan.errors import CheckpointError
from monai_semigan.losses.gradient_penalty import r1_penalty
from monai_semigan.losses.path_length import path_lengths
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.discriminator import ImageDiscriminator

TINY = (6, 5, 4, 4)


@pytest.fixture
def generator():
    return full_generator(32, channels=TINY)


def test_the_grouped_generator_renders_the_same(generator) -> None:
    generator.double()
    w_plus = styles_and_target(generator, 3)[0].double()

    for ours, theirs in zip(generator.synthesis(w_plus), grouped(generator).synthesis(w_plus), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-11, atol=1e-11)


def test_the_grouped_discriminator_and_its_penalty_are_the_same() -> None:
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(image_size=32, channels=TINY).double()
    image = torch.randn(2, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    results = []
    for network in (discriminator, grouped(discriminator)):
        logits = network(image)
        penalty = r1_penalty(logits, image).mean()
        results.append((logits, torch.autograd.grad(penalty, network.blocks[0].conv1.weight)[0]))

    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-12)


def test_the_path_length_gradient_is_the_same(generator) -> None:
    generator.double()
    w_plus = styles_and_target(generator, 2)[0].double().requires_grad_(True)
    grads = []
    for network in (generator, grouped(generator)):
        torch.manual_seed(3)
        lengths = path_lengths(network.synthesis.image(w_plus), w_plus)
        grads.append(torch.autograd.grad(lengths.sum(), network.synthesis.blocks[1].conv.weight)[0])

    torch.testing.assert_close(grads[1], grads[0], rtol=1e-8, atol=1e-12)


def test_a_copy_leaves_the_original_as_it_is(generator) -> None:
    before = copy.deepcopy(generator)
    twin = grouped(generator)
    twin.requires_grad_(False).synthesis.const.fill_(0)

    assert type(generator.synthesis) is type(before.synthesis) is not type(twin.synthesis)
    torch.testing.assert_close(generator.synthesis.const, before.synthesis.const)


def test_a_step_of_both_programs_has_the_same_gradient(generator) -> None:
    generator.double()
    w_plus, target = (x.double() for x in styles_and_target(generator, 2))

    ours, theirs = OurProgram(generator).step(w_plus, target), BaseProgram.grouped(generator).step(w_plus, target)

    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-9)


def test_both_perceptual_distances_are_one() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 32, 32), torch.randn(2, 1, 32, 32)
    features = VggFeatures(channels_last=False)
    distance = FeatureDistance(VggFeatures(channels_last=True))

    expected = unit_map_distance(features(a), features(b))
    torch.testing.assert_close(distance(a, distance.prepare(b)), expected, rtol=1e-4, atol=1e-5)


def test_programs_that_differ_are_not_timed(generator) -> None:
    programs = build_programs(generator, [OURS, GROUPED])
    w_plus = styles_and_target(generator, 1)[0]
    assert require_equal(programs, w_plus) < 1e-5

    programs[GROUPED] = BaseProgram.grouped(full_generator(32, channels=(5, 5, 4, 4)))
    with pytest.raises(CheckpointError, match=r"must agree to 0\.0001 with the same weights"):
        require_equal(programs, w_plus)
