# SPDX-License-Identifier: Apache-2.0
"""Prepared images to label logits: encode, refine, render."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.expected_dice import expected_overlap
from monai_semigan.types import Progress

__all__ = ["SegmentedBatch", "segment_batch"]


@dataclass(frozen=True)
class SegmentedBatch:
    """What the network made of a batch.

    Attributes:
        label_logits: ``(N, K, S, S)``.
        overlap: See `expected_overlap`, ``(N, K - 1, 2)``.
        reconstruction: ``(N, C, S, S)``, about [-1, 1].
        image_error: Mean squared error of the reconstruction, ``(N,)``; image range is [-1, 1].
        encoder_image_error: The same before inversion, ``(N,)``.
        trace: Loss of the inversion, ``(N, steps + 1)``, NaN from where an image had finished.
        steps_taken: ``(N,)``.
        seconds: Wall time of the whole batch.
    """

    label_logits: Tensor
    overlap: Tensor
    reconstruction: Tensor
    image_error: Tensor
    encoder_image_error: Tensor
    trace: Tensor
    steps_taken: Tensor
    seconds: float


def segment_batch(
    network: SemiGanSegmenter, image: Tensor, settings: InversionSettings, *, progress: Progress | None = None
) -> SegmentedBatch:
    """Segment prepared images ``(N, C, S, S)`` in [-1, 1] with a trained network on their device.

    A host's autocast is turned off inside: it would change the result.

    Raises:
        CheckpointError: The network has no trained weights.
    """
    network.require_trained()
    started = time.perf_counter()
    inversion = Inversion(network.generator, network.encoder, FeatureDistance(network.d_image.features), settings)
    result = inversion(image, progress=progress)
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        reconstruction, label_logits = network.generator.synthesis(result.w_plus)
        start, start_logits = (
            (reconstruction, label_logits)
            if settings.steps == 0
            else network.generator.synthesis(result.encoder_w_plus)
        )
        mixed = label_logits.lerp(start_logits, settings.encoder_share)
        errors = [(rendered - image).square().flatten(1).mean(dim=1) for rendered in (reconstruction, start)]
    return SegmentedBatch(
        label_logits=mixed,
        overlap=expected_overlap(mixed, label_logits, start_logits),
        reconstruction=reconstruction,
        image_error=errors[0],
        encoder_image_error=errors[1],
        trace=result.trace,
        steps_taken=result.steps_taken,
        seconds=time.perf_counter() - started,
    )
