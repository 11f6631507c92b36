# SPDX-License-Identifier: Apache-2.0
"""Volumes as a MONAI inferer, for ``monai.bundle run`` and the hosts that read a bundle's configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor

from monai_semigan.domains.abdomen import ModalityPresets
from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.segmentation.whole_volume import segment_volume
from monai_semigan.transforms.ct_window import check_hu
from monai_semigan.transforms.modality import guess_modality

__all__ = ["VolumeInferer"]


class VolumeInferer(Inferer):
    """Segment whole volumes slice by slice: windows, frames, encoder, inversion, labels on the volume's own voxels.

    The preparation is part of it, because it differs by modality and its inverse needs the volume: feed the values as
    they are (CT: HU), in any orientation. Hosts call inferers under ``torch.no_grad``; gradients are turned on again
    inside.

    Args:
        preprocessing: Fields of the slice presets by modality, as in a bundle's metadata.
        inversion: Fields of `InversionSettings` by modality.
        modality: ``auto``: the metadata's ``modality``, else the intensities; or ``CT`` or ``MR``.
        steps: Replaces the steps of every modality; None keeps them.
        slicewise: Fields of `SlicewiseSettings`.

    Raises:
        ConfigError: A setting is unknown or out of range, or the two mappings name different modalities.
    """

    def __init__(
        self,
        *,
        preprocessing: Mapping[str, Mapping[str, Any]],
        inversion: Mapping[str, Mapping[str, Any]],
        modality: str = "auto",
        steps: int | None = None,
        slicewise: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if preprocessing.keys() != inversion.keys():
            raise ConfigError(
                "`preprocessing` and `inversion` must have the same modalities, got "
                f"{', '.join(preprocessing)} and {', '.join(inversion)}."
            )
        if modality not in ("auto", *preprocessing):
            raise ConfigError(f"`modality` must be auto or one of {', '.join(preprocessing)}, got {modality!r}.")
        changed = {} if steps is None else {"steps": steps}
        try:
            self.inversion = {name: InversionSettings(**{**inversion[name], **changed}) for name in inversion}
            self.slicewise = SlicewiseSettings(**(slicewise or {}))
        except TypeError as error:
            raise ConfigError(f"`inversion` and `slicewise` must have known keys, but {error}.") from error
        self.presets, self.modality = ModalityPresets.from_settings(preprocessing), modality

    def __call__(self, inputs: Tensor, network: SemiGanSegmenter, *_: Any, **__: Any) -> Tensor:
        """Return class ids ``(1, 1, I, J, K)`` uint8 of a volume ``(1, 1, I, J, K)``; keeps its metadata.

        Without metadata the axes are taken as growing to right, anterior and superior, 1 mm apart.

        Raises:
            CheckpointError: The network has no trained weights.
            InputError: The modality is none of the bundle's, CT values cannot be HU, or the volume shows nothing.
        """
        check_shape("inputs", inputs.shape, "1 1 I J K")
        meta = inputs.meta if isinstance(inputs, MetaTensor) else {}
        affine = np.asarray(inputs.affine, dtype=np.float64) if isinstance(inputs, MetaTensor) else np.eye(4)
        voxels = inputs.detach().as_subclass(Tensor)[0, 0].cpu().numpy()
        modality = self._modality(meta.get("modality"), voxels)
        preset = self.presets[modality]
        if modality == "CT":
            check_hu(voxels, window=preset.window_of(voxels))
        shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
        result = segment_volume(
            voxels,
            VoxelGrid(shape, affine.reshape(-1, 4, 4)[0]),
            network,
            preset,
            inversion=self.inversion[modality],
            slicewise=self.slicewise,
        )
        label = torch.from_numpy(result.label)[None, None]
        return MetaTensor(label).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else label

    def _modality(self, said: Any, voxels: np.ndarray) -> str:
        if self.modality != "auto":
            return self.modality
        named = said[0] if isinstance(said, (list, tuple)) and said else said  # a data loader collates it into a list
        return str(named) if named else guess_modality(voxels).modality
