# SPDX-License-Identifier: Apache-2.0
"""The baselines by name, and all their settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from torch import nn

from monai_semigan.baselines.adversarial import Adversarial, AdversarialSettings
from monai_semigan.baselines.deeplab import DeepLabSettings, DeepLabV3Plus
from monai_semigan.baselines.frame import FrameSettings, Method, Sizes
from monai_semigan.baselines.guided import Guided, GuidedSettings
from monai_semigan.baselines.mean_teacher import MeanTeacher
from monai_semigan.baselines.supervised import Supervised
from monai_semigan.errors import ConfigError
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.consistency import ConsistencySettings
from monai_semigan.training.teacher import BASIC_UNET_FEATURES, MAX_WIDTH, TeacherSettings, basic_unet

__all__ = ["BASELINES", "BaselineSettings", "baseline", "build_network"]

BASELINES = ("unet", "deeplabv3plus", "mean-teacher", "adv-ssl", "gct")
"""Names; the first two learn from labelled images alone. All but the second segment with the U-Net."""


@dataclass(frozen=True, kw_only=True)
class BaselineSettings:
    """Of all baselines.

    Attributes:
        frame: What they share.
        unet: Channels of the U-Net's five resolutions, from fine to coarse, and of its last layer.
        deeplabv3plus: Of the network.
        mean_teacher: Of the method, like the next two.
        adv_ssl: See there.
        gct: See there.
    """

    frame: FrameSettings = field(default_factory=FrameSettings)
    unet: tuple[Annotated[int, Range(1, MAX_WIDTH)], ...] = BASIC_UNET_FEATURES
    deeplabv3plus: DeepLabSettings = field(default_factory=DeepLabSettings)
    mean_teacher: ConsistencySettings = field(default_factory=lambda: ConsistencySettings(style_mixing=None))
    adv_ssl: AdversarialSettings = field(default_factory=AdversarialSettings)
    gct: GuidedSettings = field(default_factory=GuidedSettings)

    def __post_init__(self) -> None:
        check_settings(self)
        TeacherSettings(network="basic_unet", features=self.unet)  # the same check


def build_network(name: str, settings: BaselineSettings, sizes: Sizes) -> nn.Module:
    """Build the network that a baseline segments with: images ``(N, C, S, S)`` to logits ``(N, K, S, S)``."""
    if name == "deeplabv3plus":
        return DeepLabV3Plus(sizes, settings.deeplabv3plus)
    return basic_unet(image_channels=sizes.image_channels, num_classes=sizes.num_classes, features=settings.unet)


def baseline(name: str, settings: BaselineSettings) -> Callable[[FrameSettings, Sizes], Method]:
    """Return what builds a baseline, for `train_baseline`.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in BASELINES:
        raise ConfigError(f"`name` must be one of {', '.join(BASELINES)}, got {name!r:.40}.")

    def make(frame: FrameSettings, sizes: Sizes) -> Method:
        networks: Sequence[nn.Module] = [build_network(name, settings, sizes) for _ in range(2 if name == "gct" else 1)]
        if name == "mean-teacher":
            return MeanTeacher(frame, networks[0], settings.mean_teacher)
        if name == "adv-ssl":
            return Adversarial(frame, networks[0], settings.adv_ssl, sizes)
        if name == "gct":
            return Guided(frame, networks, settings.gct, sizes)
        return Supervised(frame, networks[0])

    return make
