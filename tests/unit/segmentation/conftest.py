# SPDX-License-Identifier: Apache-2.0
"""A network that copies, for what lies around networks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from copy_model import CopyNetwork
from torch import nn

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance


@pytest.fixture
def copy_network() -> Callable[[int], nn.Module]:
    """Build a copying network for squares of a size."""
    return CopyNetwork


@pytest.fixture
def invert() -> Callable[..., Inversion]:
    """Build the inversion of a network; keywords are its settings."""

    def build(network: nn.Module, **settings: object) -> Inversion:
        distance = FeatureDistance(network.d_image.features)
        return Inversion(network.generator, network.encoder, distance, InversionSettings(**settings))

    return build
