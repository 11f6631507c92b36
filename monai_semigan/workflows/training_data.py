# SPDX-License-Identifier: Apache-2.0
"""The images and labels of a data list, prepared for the network and held in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.datalist import Datalist, Entry
from monai_semigan.io.image_file import read_image
from monai_semigan.io.label_file import read_label
from monai_semigan.segmentation.image_adapter import prepare_image
from monai_semigan.training.pool import ImagePool, LabelledPool, Symmetries, with_symmetries

__all__ = ["ignored_pixels", "image_pool", "labelled_pool", "training_preset"]


def training_preset(bundle: Bundle, modality: str | None = None) -> Any:
    """Return the bundle's preset that training images are prepared with.

    A bundle for volumes is trained on pictures of slices, all of one modality: CT slices show 0..255 HU as 0..255.

    Args:
        bundle: The bundle.
        modality: Of a bundle for volumes, one of its modalities; None for the first. Of one for images, None.

    Raises:
        ConfigError: The bundle has no such modality.
    """
    names = [] if not bundle.takes_volumes else list(bundle.chains)
    if modality is not None and modality not in names:
        raise ConfigError(f"`modality` must be {' or '.join(names) or 'null for images'}, got {modality!r}.")
    return bundle.chains[modality or next(iter(bundle.chains))].preset


def image_pool(entries: tuple[Entry, ...], preset: Any, symmetries: Symmetries = "none") -> ImagePool:
    """Prepare images without their labels; with mirror images and quarter turns as the symmetries say.

    Raises:
        ConfigError: There is none.
        InputError: One cannot be read or prepared.
    """
    if not entries:
        raise ConfigError("The data list must have unlabelled images, got none.")
    images = torch.from_numpy(np.stack([prepare_image(preset, read_image(entry.image))[0] for entry in entries])).half()
    return ImagePool(with_symmetries(images, symmetries))


def labelled_pool(
    data: Datalist, entries: tuple[Entry, ...], preset: Any, num_classes: int, symmetries: Symmetries = "none"
) -> LabelledPool:
    """Prepare images and their labels; with mirror images and quarter turns as the symmetries say.

    Raises:
        ConfigError: There is none, or one has no label.
        InputError: One cannot be read or prepared, or a label has another size than its image.
    """
    if not entries:
        raise ConfigError("The data list must have labelled images, got none.")
    images, targets = [], []
    for entry in entries:
        source = read_image(entry.image)
        image, geometry = prepare_image(preset, source)
        if entry.label is None:
            raise ConfigError(f"`{entry.image.name}` must have a label.")
        label = source.as_shown(read_label(entry.label, num_classes=num_classes, binary=data.is_binary))
        if label.shape != geometry.source_shape:
            raise InputError(
                f"`{entry.label.name}` must have its image's size {geometry.source_shape}, got {label.shape}."
            )
        images.append(image)
        targets.append(preset.prepare_label(label, geometry, num_classes))
    pair = torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(targets))
    return LabelledPool(*(with_symmetries(part, symmetries) for part in pair))


def ignored_pixels(entries: tuple[Entry, ...], preset: Any) -> torch.Tensor | None:
    """Return which pixels of the prepared images are left out of a score, bool ``(M, S, S)``; None where none is.

    Raises:
        InputError: One cannot be read, or has another size than its image.
    """
    if not any(entry.ignore for entry in entries):
        return None
    found = []
    for entry in entries:
        source = read_image(entry.image)
        image, geometry = prepare_image(preset, source)
        if entry.ignore is None:
            found.append(np.zeros(image.shape[1:], bool))
            continue
        mask = source.as_shown(read_label(entry.ignore, binary=True))
        if mask.shape != geometry.source_shape:
            raise InputError(
                f"`{entry.ignore.name}` must have its image's size {geometry.source_shape}, got {mask.shape}."
            )
        found.append(preset.prepare_label(mask, geometry, 2)[1] > 0)  # a pixel that is ignored in part is unknown
    return torch.from_numpy(np.stack(found))
