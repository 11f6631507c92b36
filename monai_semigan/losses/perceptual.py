# SPDX-License-Identifier: Apache-2.0
"""How alike two images look to a feature network (LPIPS, Zhang et al. 2018, equation 1, with equal channel weights).

By default the features are those of the trained image discriminator: nothing has to be downloaded, and it knows the
domain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.networks.checkpoint_file import read_checkpoint

__all__ = ["FeatureDistance", "MonaiPerceptualDistance", "PerceptualDistance"]

LOCAL_NETWORK = "resnet50"
"""The only network type of MONAI's loss that does not go to a hub for its weights."""

FEATURE_EPSILON = 1e-8
"""Keeps the normalization of an all-zero feature vector finite."""


class PerceptualDistance(Protocol):
    """A distance that may prepare its target once and compare many images with it."""

    def prepare(self, target: Tensor) -> Sequence[Tensor]:
        """Return what `__call__` needs of targets ``(N, C, S, S)``; every tensor has the batch axis first."""

    def __call__(self, image: Tensor, prepared: Sequence[Tensor]) -> Tensor:
        """Return the distance of images ``(N, C, S, S)`` to prepared targets, ``(N,)``, >= 0, float32 or better.

        Images may be bfloat16: a distance that cannot compute in it widens them.
        """


class FeatureDistance:
    """Mean over layers and places of the squared distance between unit-length feature vectors, ``(N,)`` in [0, 4].

    Args:
        features: Images to a list of maps ``(N, C, H, W)``, for example `ImageDiscriminator.features`.
    """

    def __init__(self, features: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self.features = features

    def prepare(self, target: Tensor) -> list[Tensor]:
        """Return the targets' unit feature vectors."""
        return [_unit(feature) for feature in self.features(target)]

    def __call__(self, image: Tensor, prepared: Sequence[Tensor]) -> Tensor:
        wide = torch.promote_types(image.dtype, torch.float32)
        total = image.new_zeros(len(image), dtype=wide)
        for feature, target in zip(self.features(image), prepared, strict=True):
            # |a - b|^2 = 2 - 2 a.b for unit vectors: one contraction instead of a normalized map.
            norm = feature.square().sum(dim=1, dtype=wide).add(FEATURE_EPSILON).rsqrt()  # (N, H, W)
            cosine = (feature * target).sum(dim=1, dtype=wide) * norm
            total = total + (2 - 2 * cosine).flatten(1).mean(dim=1)
        return total / len(prepared)


class MonaiPerceptualDistance:
    """MONAI's `PerceptualLoss`, for users with a local weight file; nothing is ever fetched.

    Args:
        network_type: ``resnet50``: the other networks of MONAI's come from the internet.
        pretrained_path: The weight file.

    Raises:
        ConfigError: The network is another one, or the loss cannot be built here (it needs torchvision, and the file).
    """

    def __init__(self, network_type: str, pretrained_path: str) -> None:
        remedy = "Leave `perceptual` out to use the image discriminator's features."
        if network_type != LOCAL_NETWORK:
            raise ConfigError(
                f"`network_type` must be {LOCAL_NETWORK}, which loads a local file, got {network_type!r:.60}. {remedy}"
            )
        if not isinstance(pretrained_path, str):
            raise ConfigError(f"`pretrained_path` must be a weight file. {remedy}")
        try:
            read_checkpoint(pretrained_path)
            from monai.losses.perceptual import PerceptualLoss  # noqa: PLC0415  (3 s to import, rarely used)

            self.loss = PerceptualLoss(
                spatial_dims=2, network_type=LOCAL_NETWORK, pretrained=True, pretrained_path=pretrained_path
            )
        except Exception as error:  # torchvision fails with RuntimeError or ImportError, files with CheckpointError
            raise ConfigError(
                f"`pretrained_path` must hold weights of {LOCAL_NETWORK}, and torchvision must be installed, but "
                f"loading them failed ({type(error).__name__}). {remedy}"
            ) from error

    def prepare(self, target: Tensor) -> list[Tensor]:
        """Return the targets themselves."""
        return [target.float()]

    def __call__(self, image: Tensor, prepared: Sequence[Tensor]) -> Tensor:
        """Compare one by one: MONAI's loss returns the mean over a batch."""
        pairs = zip(image.float().unsqueeze(1), prepared[0].unsqueeze(1), strict=True)
        return torch.stack([self.loss(a, b).reshape(()) for a, b in pairs])


def _unit(feature: Tensor) -> Tensor:
    wide = torch.promote_types(feature.dtype, torch.float32)
    norm = feature.square().sum(dim=1, keepdim=True, dtype=wide).add(FEATURE_EPSILON).rsqrt()
    return feature * norm.to(feature.dtype)
