# SPDX-License-Identifier: Apache-2.0
"""An inversion of few steps that never stops early."""

from __future__ import annotations

from typing import Any

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter


def inversion(network: SemiGanSegmenter, **settings: Any) -> Inversion:
    """Build the inversion of a network; keywords are its settings."""
    settings = {"steps": 8, "patience": 0} | settings
    distance = FeatureDistance(network.d_image.features)
    return Inversion(network.generator, network.encoder, distance, InversionSettings(**settings))
