# SPDX-License-Identifier: Apache-2.0
"""Whole inversions: slices that are neighbours, the published ramp, a base and ours with one loss."""

from __future__ import annotations

import pytest
import torch

from benchmarks import whole
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import InputError
from monai_semigan.latent.inversion import InversionSettings


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tiny_network):
    settings = InversionSettings(optimizer="lbfgs")
    monkeypatch.setattr(whole, "_network", lambda: (tiny_network, settings))
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    drift = torch.linspace(0, 0.1, 8)[:, None, None, None]
    monkeypatch.setattr(whole, "moved_slices", lambda count: (images + drift)[:count])


def test_neighbouring_slices_are_alike_and_not_the_same() -> None:
    slices, size = whole.moved_slices(5), open_bundle(whole.BUNDLE).network.image_size

    apart = (slices[1:] - slices[:-1]).square().mean(dim=(1, 2, 3))
    assert slices.shape == (5, 1, size, size)
    assert bool((apart > 0).all()) and float(apart.max()) < float((slices[0] - slices[-1]).square().mean())


def test_the_published_ramp_starts_and_ends_at_zero() -> None:
    assert whole._published_ramp(0) == whole._published_ramp(1) == 0
    assert whole._published_ramp(0.05) == whole._published_ramp(0.75) == 1


def test_both_ways_reach_one_loss(tiny) -> None:
    row = whole.same_loss_row(slices=4, base_steps=3, step_counts=(1, 12, 40))

    assert row.details["loss"]["ours"] <= row.details["loss"]["grouped"]
    assert row.details["steps"]["grouped"] == 3
    assert row.ratios["ours"] > 0


def test_a_loss_that_is_not_reached_is_an_error(tiny) -> None:
    with pytest.raises(InputError, match=r"No number of steps in .* reached"):
        whole.same_loss_row(slices=2, base_steps=30, step_counts=(0,))


def test_a_stack_is_segmented_with_the_bundles_settings(tiny) -> None:
    row = whole.volume_row(4)

    assert row.values["ours"] > 0 and row.details["steps"] == 50
