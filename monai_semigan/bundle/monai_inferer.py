# SPDX-License-Identifier: Apache-2.0
"""A bundle's whole segmentation as a MONAI inferer, for ``monai.bundle run`` and the hosts that read its configs.

Preparation and its inverse need the source as it is, so they are part of it: feed images and volumes as this package's
readers give them (`bundle.monai_readers`), in any orientation. The result is what ``semigan segment`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.inferers.inferer import Inferer
from torch import Tensor

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.errors import ConfigError, check_shape
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.segmentation.source import Source, array_digest

__all__ = ["BundleInferer", "bundle_network"]


DEPLOY_AFFINE = "nifti_affine_transform"
"""MONAI Deploy's DICOM reader keeps the affine under this name: it is to RAS, though its ``space`` says LPS."""


def bundle_network(bundle_root: str) -> SemiGanSegmenter:
    """Build the network that a bundle's metadata describe, with random weights: MONAI's runner loads them.

    Raises:
        BundleError: ``bundle_root`` is no bundle, or one that must not be trusted.
    """
    return SemiGanSegmenter(**open_bundle(bundle_root).network.arguments())


class BundleInferer(Inferer):
    """Segment as ``semigan segment`` does: preparation, encoder, inversion, label, rules.

    Hosts call inferers under ``torch.no_grad``; gradients are turned on again inside.

    Args:
        bundle_root: The bundle's folder.
        steps: Steps of the inversion; None for the bundle's number, 0 for the encoder alone. MONAI Label's viewers send
            what stands in a field: digits, or nothing for None.
        batch_size: Images or slices at once; None for the usual number.
        modality: Of volumes: ``auto``: the metadata's ``modality``, else the intensities; or one of the bundle's.

    Raises:
        BundleError: ``bundle_root`` is no bundle, or one that must not be trusted.
        ConfigError: A setting is unknown or out of range.
    """

    def __init__(
        self, bundle_root: str, *, steps: int | str | None = None, batch_size: int | None = None, modality: str = "auto"
    ) -> None:
        super().__init__()
        self.bundle = open_bundle(bundle_root)
        self.options = SegmenterOptions(steps=_number(steps), batch_size=batch_size, modality=modality)
        self._segmenter: Segmenter | None = None

    def __call__(self, inputs: Tensor, network: SemiGanSegmenter, *_: Any, **__: Any) -> Tensor:
        """Return class ids uint8 on the pixels of each input; keeps the metadata.

        Args:
            inputs: Images ``(N, C, H, W)``, or volumes ``(N, 1, I, J, K)``, values as they were read. Without metadata
                a volume's axes are taken as growing to right, anterior and superior, 1 mm apart.
            network: As `bundle_network` builds it, with the bundle's weights.

        Raises:
            CheckpointError: The network has no trained weights.
            InputError: The bundle is not for such sources, or one cannot be prepared.
        """
        check_shape("inputs", inputs.shape, "N 1 I J K" if self.bundle.takes_volumes else "N C H W")
        if self._segmenter is None or self._segmenter.network is not network:
            self._segmenter = bundle_segmenter(self.bundle, options=self.options, network=network)
        sources = [self._source(inputs, at) for at in range(len(inputs))]
        labels = [result.label for result in self._segmenter.segment_all(sources)]
        label = torch.from_numpy(np.stack(labels)[:, None])
        return MetaTensor(label).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else label

    def _source(self, inputs: Tensor, at: int) -> Source:
        meta = inputs.meta if isinstance(inputs, MetaTensor) else {}
        values = inputs.detach().as_subclass(Tensor)[at].cpu().numpy()
        name = Path(str(_item(meta, "filename_or_obj", at) or "array")).name
        record = SourceRecord(name=name, format="array", sha256=array_digest(values))
        if self.bundle.takes_volumes:
            affine = np.asarray(inputs.affine, dtype=np.float64) if isinstance(inputs, MetaTensor) else np.eye(4)
            voxels, affines = values[0], affine.reshape(-1, 4, 4)
            affine = affines[min(at, len(affines) - 1)]
            if str(_item(meta, "space", at) or "RAS") == "LPS" and DEPLOY_AFFINE not in meta:
                # as some of MONAI's readers leave it when asked to
                affine = lps_from_ras(affine)  # its own inverse
            grid = VoxelGrid(voxels.shape, affine)
            modality = _item(meta, "modality", at) or None
            return Source(
                data=SourceVolume(name=name, voxels=voxels, grid=grid, modality=modality), record=record, case=name
            )
        pixels = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
        window = meta.get("voi_window")
        window = None if window is None else np.asarray(window, dtype=np.float64).reshape(-1, 2)[at]
        data = SourceImage(
            path=Path(name),
            pixels=pixels.astype(np.dtype(str(_item(meta, "stored_type", at) or pixels.dtype))),
            photometric=str(_item(meta, "photometric", at) or ("MONOCHROME2" if len(values) == 1 else "RGB")),
            voi_window=None if window is None else (window[0], window[1]),
        )
        return Source(data=data, record=record, case=name)


def _number(steps: int | str | None) -> int | None:
    if not isinstance(steps, str):
        return steps
    text = steps.strip()
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigError(f"`steps` must be a whole number or empty, got {text!r:.40}.")
    return int(text) if text else None


def _item(meta: Mapping[str, Any], key: str, at: int) -> Any:
    """What the metadata say of one of a batch: a data loader collates values into lists and tensors."""
    value = meta.get(key)
    if isinstance(value, (list, tuple, Tensor, np.ndarray)):
        return value[at] if len(value) > at else None
    return value
