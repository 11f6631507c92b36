# SPDX-License-Identifier: Apache-2.0
"""The segmenter as a MONAI inferer, for ``monai.bundle run`` and the hosts that read a bundle's configs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor

from monai_semigan.errors import ConfigError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.batch import segment_batch

__all__ = ["InversionInferer"]


class InversionInferer(Inferer):
    """Segment by test-time optimization: encoder, inversion, label branch.

    Hosts call inferers under ``torch.no_grad``; gradients are turned on again inside.

    Args:
        batch_size: Images optimized at once.
        settings: Fields of `InversionSettings`, such as ``steps``.

    Raises:
        ConfigError: A setting is unknown or out of range.
    """

    def __init__(self, *, batch_size: int = 8, **settings: Any) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"`batch_size` must be >= 1, got {batch_size}.")
        try:
            self.batch_size, self.settings = batch_size, InversionSettings(**settings)
        except TypeError as error:
            known = ", ".join(field.name for field in fields(InversionSettings))
            raise ConfigError(f"`settings` must be among {known}, but {error}.") from error

    def __call__(self, inputs: Tensor, network: SemiGanSegmenter, *_: Any, **__: Any) -> Tensor:
        """Return label logits ``(N, K, S, S)`` for prepared images ``(N, C, S, S)`` in [-1, 1]; keeps their metadata.

        Raises:
            CheckpointError: The network has no trained weights.
        """
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        logits = torch.cat(
            [segment_batch(network, batch, self.settings).label_logits for batch in plain.split(self.batch_size)]
        )
        return MetaTensor(logits).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else logits
