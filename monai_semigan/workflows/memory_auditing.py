# SPDX-License-Identifier: Apache-2.0
"""Look for training images that a bundle's generator repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.devices import choose_device
from monai_semigan.errors import InputError
from monai_semigan.evaluation.memorization import Nearest, SpaceAudit, audit_space, nearer, nearest_neighbors
from monai_semigan.files import replacing_results, write_json
from monai_semigan.io.datalist import Datalist, load_datalist
from monai_semigan.io.image_file import SourceImage
from monai_semigan.latent.sampling import draw_sample
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.pictures.frames import tile_grid
from monai_semigan.pictures.overlay import as_pixels
from monai_semigan.segmentation.image_adapter import prepare_image
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.training.sample_sheet import save_image
from monai_semigan.types import PathLike, StageProgress
from monai_semigan.workflows.synthetic_items import MAX_SEED
from monai_semigan.workflows.training_data import image_pool, training_preset

__all__ = ["MemoryAudit", "MemoryAuditOptions", "audit_memory"]

MARKER = "memory.json"

MIN_UNSEEN = 10
"""Fewer unseen images say nothing about how near is near."""

LARGEST_MAP = 8
"""Side of the feature maps that are compared, pixels: what is where, not every grain."""

SHOWN_PAIRS = 8
TILE_PX = 160

AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class MemoryAuditOptions:
    """What is looked at.

    Attributes:
        num_samples: Drawn images.
        seed: Of the first; sample ``i`` has ``seed + i``, as an item of `synthesize`.
        truncation_psi: 1 draws from all that was learned, 0 gives the mean.
        modality: Of a bundle for volumes, that of the list's pictures; None for its first.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    num_samples: Annotated[int, Range(10, 100_000)] = 500
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    truncation_psi: Annotated[float, Range(0, 1)] = 1.0
    modality: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class SpaceNumbers:
    """What one space says, see `SpaceAudit`.

    Attributes:
        median: Distance of the samples to their nearest training image.
        median_unseen: The same of validation images.
        median_redrawn: The same of validation images as the generator draws them: as smooth as samples are.
        p_value: Samples against validation images; small: samples are nearer.
        p_value_redrawn: Samples against redrawn validation images.
        copy_distance: Below it a sample is a copy.
        copy_ratio: Below this ratio of its distance to the next neighbours' likewise.
        smallest_distance: Of all samples, as drawn or framed as files are.
        smallest_ratio: Likewise.
    """

    median: float
    median_unseen: float
    median_redrawn: float
    p_value: float
    p_value_redrawn: float
    copy_distance: float
    copy_ratio: float
    smallest_distance: float
    smallest_ratio: float


@dataclass(frozen=True, kw_only=True)
class ClosePair:
    """A sample and its nearest training image.

    Attributes:
        seed: Of the sample.
        space: ``pixels`` or ``features``.
        training_index: Place of the training image in the list: labelled, then unlabelled ones that are not.
        distance: Between both.
        ratio: To the next neighbours'.
        p_value: Share of validation images that are as near or nearer.
        is_copy: The sample counts as a copy.
    """

    seed: int
    space: Literal["pixels", "features"]
    training_index: int
    distance: float
    ratio: float
    p_value: float
    is_copy: bool


@dataclass(frozen=True, kw_only=True)
class MemoryAudit:
    """What was found.

    Attributes:
        schema: Version of this description.
        bundle: Whose generator was looked at.
        datalist_digest: Of the data list: which files, of which sizes, in which roles.
        num_samples: Drawn images.
        num_training: Training images that they were compared with.
        num_unseen: Validation images.
        options: What was asked for.
        spaces: By name.
        copies: Seeds of the samples that count as copies in any space.
        closest: The closest pairs, copies first.
    """

    schema: Literal["semigan-memory-1"] = "semigan-memory-1"
    bundle: BundleRecord
    datalist_digest: str
    num_samples: int
    num_training: int
    num_unseen: int
    options: MemoryAuditOptions
    spaces: Mapping[str, SpaceNumbers]
    copies: tuple[int, ...]
    closest: tuple[ClosePair, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return what ``memory.json`` holds."""
        content: dict[str, Any] = to_json(self)
        return content


@dataclass(frozen=True)
class _Images:
    """Images, ``(N, C, S, S)`` float16 each.

    Attributes:
        training: Of the data list.
        unseen: Its validation images.
        redrawn: These as the generator draws them.
        samples: As drawn.
        framed: The same prepared as files are: a copy may lie in another frame than the training image does.
    """

    training: Tensor
    unseen: Tensor
    redrawn: Tensor
    samples: Tensor
    framed: Tensor


def audit_memory(
    output: PathLike,
    *,
    bundle: PathLike,
    datalist: PathLike,
    options: MemoryAuditOptions | None = None,
    progress: StageProgress | None = None,
) -> MemoryAudit:
    """Compare drawn images with the nearest training images, in pixels and in the discriminator's features.

    Writes ``memory.json`` and ``pairs.png``, which shows training images: it is as private as they are.

    Args:
        output: Folder: new, empty, or of an earlier audit, which is replaced.
        bundle: A shipped bundle's name, or a bundle folder.
        datalist: What it was trained on, with validation images that it was not.
        options: What is looked at.
        progress: Called with a stage, what is done of it, and its length.

    Raises:
        ConfigError: An option is out of range, or the list has no training images.
        BundleError: The bundle cannot be used.
        InputError: The list has fewer than 10 validation images, or an image cannot be read.
        OutputError: The folder holds something else, or cannot be written.
    """
    options = options or MemoryAuditOptions()
    opened, data = open_bundle(bundle), load_datalist(datalist, warn=False)
    if len(data.validation) < MIN_UNSEEN:
        raise InputError(
            f"The data list must have at least {MIN_UNSEEN} validation images to compare with, got "
            f"{len(data.validation)}."
        )
    network = load_network(opened, device=choose_device(options.device))
    images = _images(opened, network, data, options, progress)
    audits, nearest, spaces = {}, {}, {}
    for name, represent in {"pixels": _pixels, "features": _feature_space(network)}.items():
        training = represent(images.training, progress)
        found = {
            kind: nearest_neighbors(represent(getattr(images, kind), None), training)
            for kind in ("samples", "framed", "unseen", "redrawn")
        }
        nearest[name] = nearer(found["samples"], found["framed"])
        audits[name] = audit_space(nearest[name], found["unseen"])
        spaces[name] = _numbers(found, nearest[name])
    is_copy = np.any([audit.is_copy for audit in audits.values()], axis=0)
    closest = _closest(nearest, audits, options.seed)
    result = MemoryAudit(
        bundle=BundleRecord(name=opened.name, version=opened.version, digest=opened.digest),
        datalist_digest=data.digest(),
        num_samples=options.num_samples,
        num_training=len(images.training),
        num_unseen=len(images.unseen),
        options=options,
        spaces=spaces,
        copies=tuple(options.seed + int(at) for at in np.flatnonzero(is_copy)),
        closest=closest,
    )
    with replacing_results(output, MARKER) as folder:
        write_json(folder / MARKER, result.to_json())
        save_image(folder / "pairs.png", _picture(closest, images, options.seed))
    return result


def _images(
    bundle: Bundle,
    network: SemiGanSegmenter,
    data: Datalist,
    options: MemoryAuditOptions,
    progress: StageProgress | None,
) -> _Images:
    preset = training_preset(bundle, options.modality)
    trained = tuple({entry.image: entry for entry in (*data.labelled, *data.unlabelled)}.values())
    _say(progress, "read", 0, 2)
    training = image_pool(trained, preset).images
    _say(progress, "read", 1, 2)
    unseen = image_pool(data.validation, preset).images
    _say(progress, "read", 2, 2)
    samples, framed = [], []
    for at in range(options.num_samples):
        image, _ = draw_sample(network.generator, options.seed + at, truncation_psi=options.truncation_psi)
        samples.append(image.clamp(-1, 1).half().cpu())
        framed.append(_framed(samples[-1], preset))
        _say(progress, "draw", at + 1, options.num_samples)
    with torch.inference_mode():
        redrawn = [
            network.generator.synthesis.image(network.encoder(part.float().to(network.device)))
            .clamp(-1, 1)
            .half()
            .cpu()
            for part in torch.split(unseen, AT_ONCE)
        ]
    return _Images(training, unseen, torch.cat(redrawn), torch.cat(samples), torch.cat(framed))


def _framed(image: Tensor, preset: Any) -> Tensor:
    """Prepare a drawn image ``(1, C, S, S)`` as a file of it would be; as it is, where there is nothing to frame."""
    pixels = as_pixels(image[0].float().numpy())
    source = SourceImage(path=Path("drawn"), pixels=pixels, photometric="RGB" if pixels.ndim == 3 else "MONOCHROME2")
    try:
        prepared, _ = prepare_image(preset, source)
    except InputError:
        return image
    return torch.from_numpy(prepared)[None].half()


def _pixels(images: Tensor, progress: StageProgress | None) -> np.ndarray:
    """Return values as vectors whose distance is the root mean square difference, of [-1, 1]."""
    flat = images.flatten(1).float()
    vectors: np.ndarray = (flat / flat.shape[1] ** 0.5).numpy()
    return vectors


def _feature_space(network: SemiGanSegmenter) -> Any:
    """Return what makes vectors whose squared distance is that of `FeatureDistance` over the coarse maps."""
    distance = FeatureDistance(
        lambda image: [part for part in network.d_image.features(image) if part.shape[-1] <= LARGEST_MAP]
    )

    @torch.inference_mode()
    def represent(images: Tensor, progress: StageProgress | None) -> np.ndarray:
        rows = []
        for at, part in enumerate(torch.split(images, AT_ONCE)):
            maps = distance.prepare(part.float().to(network.device))
            vectors = [unit.flatten(1) / (unit.shape[-1] * len(maps) ** 0.5) for unit in maps]
            rows.append(torch.cat(vectors, dim=1).half().cpu())
            _say(progress, "features", min((at + 1) * AT_ONCE, len(images)), len(images))
        return torch.cat(rows).numpy()

    return represent


def _numbers(found: Mapping[str, Nearest], nearest: Nearest) -> SpaceNumbers:
    audit, against = (audit_space(found["samples"], found[kind]) for kind in ("unseen", "redrawn"))
    return SpaceNumbers(
        median=audit.median,
        median_unseen=audit.median_unseen,
        median_redrawn=against.median_unseen,
        p_value=audit.p_value,
        p_value_redrawn=against.p_value,
        copy_distance=audit.copy_distance,
        copy_ratio=audit.copy_ratio,
        smallest_distance=float(nearest.distances.min()),
        smallest_ratio=float(nearest.ratios.min()),
    )


def _closest(nearest: Mapping[str, Nearest], audits: Mapping[str, SpaceAudit], seed: int) -> tuple[ClosePair, ...]:
    """Return the closest pairs of each space in turn, copies first."""
    pairs: list[ClosePair] = []
    for name, found in nearest.items():
        audit = audits[name]
        order = np.lexsort((found.distances, ~audit.is_copy))[:SHOWN_PAIRS]
        pairs += [
            ClosePair(
                seed=seed + int(at),
                space=name,  # type: ignore[arg-type]
                training_index=int(found.indices[at]),
                distance=float(found.distances[at]),
                ratio=float(found.ratios[at]),
                p_value=float(audit.p_values[at]),
                is_copy=bool(audit.is_copy[at]),
            )
            for at in order
        ]
    return tuple(pairs)


def _picture(pairs: Sequence[ClosePair], images: _Images, seed: int) -> Image.Image:
    """Draw samples above their nearest training images: a row by pixels, a row by features."""
    tiles = []
    for pair in pairs:
        tile = Image.new("RGB", (TILE_PX, 2 * TILE_PX))
        both = (images.samples[pair.seed - seed], images.training[pair.training_index])
        for at, image in enumerate(both):
            pixels = Image.fromarray(as_pixels(image.float().numpy())).convert("RGB")
            tile.paste(pixels.resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC), (0, at * TILE_PX))
        tiles.append(tile)
    captions = [f"{pair.space[:-1]} {pair.distance:.3f}{' copy' if pair.is_copy else ''}" for pair in pairs]
    return tile_grid(tiles, captions, columns=-(-len(pairs) // 2))


def _say(progress: StageProgress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)
