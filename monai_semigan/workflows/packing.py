# SPDX-License-Identifier: Apache-2.0
"""Put trained weights into a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.errors import BundleError
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.networks.checkpoint import (
    file_digest,
    load_weights,
    read_checkpoint,
    read_state_dict,
    to_half,
)
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.networks.start_weights import is_start, read_start
from monai_semigan.training.snapshot import write_tensors
from monai_semigan.types import PathLike

__all__ = ["pack"]


def pack(output: PathLike, *, bundle: PathLike, weights: PathLike, overwrite: bool = False) -> Path:
    """Copy a bundle's configs and texts to ``output`` and add weights in float16, with their digest.

    A limit of expected Dice is left out with new weights: `tune` finds theirs.

    Args:
        output: The new bundle's folder; may be the bundle itself with ``overwrite``.
        bundle: Shipped name or folder: the network's description and the chain.
        weights: ``best.pt`` of an encoder's run, or what ``semigan convert`` made of the files of GAN and encoder.
        overwrite: Replace weights that lie there.

    Raises:
        BundleError: ``output`` holds a bundle already.
        CheckpointError: The weights do not fit the bundle's network, or are not trained.
    """
    source, target = open_bundle(bundle), Path(output)
    if (target / "configs" / "metadata.json").exists() and not overwrite:
        raise BundleError(f"`{target}` already holds a bundle. Pass --overwrite, or choose another folder.")
    network = SemiGanSegmenter(**source.network.arguments())
    load_weights(network, _trained_state(weights), source=weights)
    network.require_trained()
    make_folder(target / "models")
    if target.resolve() != source.root.resolve():
        for part in ("configs", "docs"):
            if (source.root / part).is_dir():
                shutil.copytree(source.root / part, target / part, dirs_exist_ok=True)
        if (source.root / "LICENSE").is_file():
            shutil.copy(source.root / "LICENSE", target / "LICENSE")
    file = target / "models" / "model.pt"
    write_tensors(file, to_half(network))
    digest = file_digest(file)
    write_text(target / "models" / "model.pt.sha256", f"{digest}  model.pt\n")
    path = target / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    if digest != source.weights_sha256:  # the limit was found for other weights
        metadata["semigan"].pop("min_expected_dice", None)
    metadata["semigan"]["weights"] = {"file": "models/model.pt", "sha256": digest}
    write_json(path, metadata)
    load_network(open_bundle(target), device=torch.device("cpu"))
    return target


def _trained_state(weights: PathLike) -> dict[str, torch.Tensor]:
    if is_start(read_checkpoint(weights)):
        return read_start(weights).segmenter_state()
    return read_state_dict(weights)
