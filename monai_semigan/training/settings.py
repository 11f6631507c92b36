# SPDX-License-Identifier: Apache-2.0
"""All numbers of a training, as a bundle's ``train.json`` and ``train_encoder.json`` write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monai_semigan.settings import Range, check_settings
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings
from monai_semigan.training.gan_step import GanSettings
from monai_semigan.training.loop import RunSettings
from monai_semigan.training.perturb import PerturbSettings
from monai_semigan.training.pool import Symmetries
from monai_semigan.training.teacher import TeacherSettings

__all__ = ["EncoderTraining", "GanTraining", "PairDiscriminatorSettings", "PerceptualSettings"]


@dataclass(frozen=True, kw_only=True)
class PairDiscriminatorSettings:
    """Arguments of `MultiscaleDiscriminator` that the bundle's network does not fix.

    Attributes:
        num_scales: Discriminators; each sees the pair at half the size of the one before.
        base_channels: Width of each one's first convolution.
    """

    num_scales: Annotated[int, Range(1, 8)] = 3
    base_channels: Annotated[int, Range(1, 4096)] = 64

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class PerceptualSettings:
    """MONAI's perceptual loss from a local file.

    Attributes:
        network_type: As in MONAI; ``resnet50`` is the only one that loads a local file.
        pretrained_path: The weight file.
    """

    network_type: str
    pretrained_path: str

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class GanTraining:
    """Everything of the GAN's training but network, data and place.

    Attributes:
        modality: Of a bundle for volumes, the one whose slices it is trained on; None for its first.
        symmetries: Which mirror images and quarter turns of every training image are used as well.
        bfloat16: Compute convolutions of generator and D_r in bfloat16; weights stay in float32. Where that is slow for
            want of hardware, float32 runs instead.
        d_pair: How large D_m is.
        gan: Losses and optimizers.
        augment_image: Augmentation of D_r's inputs.
        augment_pair: Augmentation of D_m's inputs.
        perturb_pair: Intensity changes of D_m's images; None for none.
        teacher: The teacher; None for none.
        run: Length and intervals.
    """

    modality: str | None = None
    symmetries: Symmetries = "none"
    bfloat16: bool = False
    d_pair: PairDiscriminatorSettings = field(default_factory=PairDiscriminatorSettings)
    gan: GanSettings = field(default_factory=GanSettings)
    augment_image: AugmentSettings = field(default_factory=AugmentSettings)
    augment_pair: AugmentSettings = field(default_factory=AugmentSettings)
    perturb_pair: PerturbSettings | None = None
    teacher: TeacherSettings | None = None
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class EncoderTraining:
    """Everything of the encoder's training but network, data and place.

    Attributes:
        modality: As in the GAN's training, like ``symmetries``.
        symmetries: Which mirror images and quarter turns of every training image are used as well.
        encoder: Losses and optimizer.
        perceptual: MONAI's perceptual loss; None for the features of D_r.
        teacher: File of a trained teacher; None for that of the GAN's run, if it has one.
        run: Length and intervals.
    """

    modality: str | None = None
    symmetries: Symmetries = "none"
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    perceptual: PerceptualSettings | None = None
    teacher: Path | None = None
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        check_settings(self)
