# SPDX-License-Identifier: Apache-2.0
"""What a bundle says of the images it knows: a small file of plain tensors beside the weights.

Each chain has its `OodReference`. A tensor is called ``<chain>.<part>.<field>``, such as ``image.styles.center`` or
``image.boundary.weights``, and a chain's limit ``<chain>.limit``. Nothing of single images is in it: means, variances,
directions of variance, and the weights of a boundary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from monai_semigan.bundle.audit import MAX_OOD_BYTES, OOD_FILE
from monai_semigan.bundle.bundle import Bundle
from monai_semigan.errors import BundleError, CheckpointError, ConfigError
from monai_semigan.networks.checkpoint_file import file_digest, read_state_dict
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.ood import BOUNDARY, Boundary, OodReference, PartReference
from monai_semigan.segmentation.ood_parts import part_sizes
from monai_semigan.training.snapshot import write_tensors

__all__ = ["known_chains", "read_references", "write_references"]

LIMIT = "limit"


def known_chains(bundle: Bundle, network: SemiGanSegmenter) -> dict[str, Chain]:
    """Return a bundle's chains with what their images are like, where the bundle says so.

    Raises:
        BundleError: What it says is missing, damaged, or not of this network.
    """
    references = read_references(bundle, network)
    return {
        name: replace(chain, ood=references[name].to(network.device) if name in references else None)
        for name, chain in bundle.chains.items()
    }


def read_references(bundle: Bundle, network: SemiGanSegmenter) -> dict[str, OodReference]:
    """Read the references by chain; none if the bundle has none.

    Raises:
        BundleError: As `known_chains` does.
    """
    settings = bundle.ood
    if settings is None:
        return {}
    path = bundle.root / settings.file
    shown = f"`{settings.file}` of the bundle `{bundle.root.name}`"
    if not path.is_file() or path.stat().st_size > MAX_OOD_BYTES:
        raise BundleError(
            f"{shown} must be a file of at most {MAX_OOD_BYTES} bytes, but is not. Copy the complete bundle."
        )
    if file_digest(path) != settings.sha256:
        raise BundleError(
            f"{shown} must have the SHA-256 {settings.sha256[:12]}..., got another: it is damaged or was exchanged. "
            "Copy the bundle again."
        )
    try:
        tensors = read_state_dict(path)
        return _unpacked(tensors, tuple(bundle.chains), part_sizes(network))
    except (CheckpointError, ConfigError) as error:
        raise BundleError(f"{shown} must describe images of this network, but: {error}") from error


def write_references(root: Path, references: Mapping[str, OodReference]) -> dict[str, str]:
    """Write references by chain into a bundle's folder; return what its description says of them."""
    tensors: dict[str, Tensor] = {}
    for name, reference in references.items():
        tensors[f"{name}.{LIMIT}"] = torch.tensor(reference.limit)
        stored: dict[str, PartReference | Boundary] = {**reference.parts, BOUNDARY: reference.boundary}
        for part_name, part in stored.items():
            for field in fields(part):
                value: Tensor = getattr(part, field.name)
                is_large = value.ndim == 2
                tensors[f"{name}.{part_name}.{field.name}"] = (value.half() if is_large else value).contiguous()
    path = root / OOD_FILE
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, tensors)
    return {"file": OOD_FILE.as_posix(), "sha256": file_digest(path)}


def _unpacked(
    tensors: Mapping[str, Tensor], chains: tuple[str, ...], sizes: Mapping[str, int]
) -> dict[str, OodReference]:
    """Build the references, each tensor used once and checked.

    Raises:
        ConfigError: One is missing, left over, or cannot be.
    """
    left = dict(tensors)
    references = {}
    for name in chains:
        limit = left.pop(f"{name}.{LIMIT}", None)
        if limit is None:
            continue
        if limit.ndim or not 0 < float(limit) < float("inf"):
            raise ConfigError(f"`{LIMIT}` must be a number above 0.")
        parts = {}
        for part_name, size in sizes.items():
            parts[part_name] = PartReference(**_taken(left, f"{name}.{part_name}", PartReference))
            parts[part_name].check(size)
        boundary = Boundary(**_taken(left, f"{name}.{BOUNDARY}", Boundary))
        boundary.check(sum(part.num_features for part in parts.values()))
        references[name] = OodReference(parts, boundary, float(limit))
    if left:
        raise ConfigError(f"there must be nothing else, got {len(left)} other tensors.")
    return references


def _taken(left: dict[str, Tensor], prefix: str, kind: type[PartReference] | type[Boundary]) -> dict[str, Tensor]:
    """Take the fields of a kind out of ``left``.

    Raises:
        ConfigError: One is missing.
    """
    names = [field.name for field in fields(kind)]
    for name in names:
        if f"{prefix}.{name}" not in left:
            raise ConfigError(
                f"`{prefix}.{name}` must be there, but is missing. Learn it again: semigan tune --keep-steps --write."
            )
    return {name: left.pop(f"{prefix}.{name}").clone().float() for name in names}
