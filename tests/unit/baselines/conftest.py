# SPDX-License-Identifier: Apache-2.0
"""Drawn images that every baseline learns."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.baselines.adversarial import AdversarialSettings
from monai_semigan.baselines.deeplab import DeepLabSettings
from monai_semigan.baselines.frame import FrameSettings, LearningData
from monai_semigan.baselines.guided import GuidedSettings
from monai_semigan.baselines.methods import BaselineSettings
from monai_semigan.training.pool import ImagePool, LabelledPool


def blobs(n: int, *, seed: int) -> LabelledPool:
    """Bright disks on dark ground with noise, 32 px, and where they are."""
    rng = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    center = torch.rand(n, 2, 1, 1, generator=rng) * 0.5 + 0.25
    inside = ((rows - center[:, 0]).square() + (columns - center[:, 1]).square() < 0.04).float()[:, None]
    noise = torch.randn(n, 1, 32, 32, generator=rng) * 0.1
    return LabelledPool((inside * 1.2 - 0.6 + noise).clamp(-1, 1), torch.cat([1 - inside, inside], dim=1))


@pytest.fixture
def data() -> LearningData:
    return LearningData(blobs(4, seed=1), ImagePool(blobs(7, seed=2).images), blobs(5, seed=3))


@pytest.fixture
def settings() -> BaselineSettings:
    """Small networks that learn fast."""
    return BaselineSettings(
        frame=FrameSettings(batch_size=4, learning_rate=5e-3, validations=3),
        unet=(4, 4, 4, 8, 8, 4),
        deeplabv3plus=DeepLabSettings(trunk=(1, 1, 2, 2), pyramid=1, fine=1),
        adv_ssl=AdversarialSettings(base_channels=8),
        gct=GuidedSettings(base_channels=8),
    )
