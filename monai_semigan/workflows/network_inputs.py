# SPDX-License-Identifier: Apache-2.0
"""One image, or one slice of a volume, as a network takes it: named on the command line, prepared, embedded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from monai_semigan.domains.base import IMAGE
from monai_semigan.errors import InputError
from monai_semigan.io.image_file import ImageFile, SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import VOLUME_SUFFIXES
from monai_semigan.latent.inversion import InversionResult
from monai_semigan.segmentation.image_adapter import prepare_image
from monai_semigan.segmentation.loaded_bundle import LoadedBundle
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.volume_adapter import choose_modality
from monai_semigan.segmentation.whole_volume import prepare_slice
from monai_semigan.workflows.reading import read
from monai_semigan.workflows.sources import read_image_source

__all__ = ["NetworkInput", "invert_input", "read_network_input"]

SLICED = re.compile(r"(?P<path>.+):(?P<slice>\d{1,6})")


@dataclass(frozen=True, kw_only=True)
class NetworkInput:
    """An image as the network sees it.

    Attributes:
        image: ``(C, S, S)`` float32 in [-1, 1].
        chain: Which chain of the bundle prepared it.
        record: The file that it came from.
        slice: Of a volume, from 1; None for an image.
    """

    image: np.ndarray
    chain: str
    record: SourceRecord
    slice: int | None = None


def read_network_input(text: str, loaded: LoadedBundle) -> NetworkInput:
    """Read an image file, or a slice of a volume, and prepare it as the bundle does.

    A bundle for volumes also takes a picture of a slice, prepared as its training images were.

    Args:
        text: A file, or ``FILE:SLICE`` for a volume: a NIfTI, MHA or NRRD file, a zip, a folder of one DICOM series.
            Slices are counted from 1 along the file's axis, as the numbers in the montages.
        loaded: The bundle.

    Raises:
        InputError: It cannot be read, does not fit the bundle, or there is no such slice.
        GeometryError: It is no regular volume.
    """
    found = None if Path(text).exists() else SLICED.fullmatch(text)
    path, number = (Path(text), None) if found is None else (Path(found["path"]), int(found["slice"]))
    is_volume = path.is_dir() or path.name.lower().endswith((*VOLUME_SUFFIXES, ".zip"))
    if not path.exists():
        raise InputError(f"`{path.name}` must be a file, or a folder of a DICOM series, but does not exist.")
    if not loaded.takes_volumes and (number is not None or is_volume):
        raise InputError(f"`{path.name}` must be an image file: the bundle {loaded.bundle.name} is not for volumes.")
    if number is None and is_volume:
        raise InputError(f"`{path.name}` must come with a slice, as {path.name}:15. Slices are counted from 1.")
    if number is None:
        source = read_image_source(ImageFile(path))
        chain = IMAGE if not loaded.takes_volumes else _chain_of_pictures(loaded)
        assert isinstance(source.data, SourceImage)
        image, _ = prepare_image(loaded.chains[chain].preset, source.data)
        return NetworkInput(image=image, chain=chain, record=source.record)
    source = read(path, kind="volume")
    volume = source.data
    assert isinstance(volume, SourceVolume)
    chain, _ = choose_modality(loaded, volume)
    preset = loaded.chains[chain].stack_preset
    preset.check_values(volume.voxels)
    image = prepare_slice(volume.voxels, volume.grid, preset, number)
    return NetworkInput(image=image, chain=chain, record=source.record, slice=number)


def invert_input(loaded: LoadedBundle, given: NetworkInput, *, keep_at: Sequence[int] = ()) -> InversionResult:
    """Embed an image as the bundle does.

    Args:
        loaded: The bundle.
        given: The image.
        keep_at: Steps whose embeddings are kept.
    """
    image = torch.from_numpy(given.image)[None].to(loaded.device)
    return loaded.inversions[given.chain](image, keep_at=keep_at)


def _chain_of_pictures(loaded: LoadedBundle) -> str:
    """The modality that was asked for; else the first, which the training images were of."""
    wanted = loaded.options.modality
    return next(iter(loaded.chains)) if wanted == "auto" else wanted
