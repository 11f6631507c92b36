# SPDX-License-Identifier: Apache-2.0
"""The path between two images in the generator's latent space, with the label at every step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError
from monai_semigan.evaluation.consistency import LabelPath, label_path
from monai_semigan.files import replacing_results, write_bytes, write_json
from monai_semigan.io.label_file import write_label
from monai_semigan.latent.interpolation import interpolate_embeddings
from monai_semigan.latent.sampling import sample_w_plus
from monai_semigan.networks.embedding import Embedding
from monai_semigan.pictures.frames import AnimationFormat, encode_animation, label_tile, tile_grid
from monai_semigan.pictures.overlay import as_pixels
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.training.sample_sheet import save_image
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.network_inputs import NetworkInput, invert_input, read_network_input
from monai_semigan.workflows.synthetic_items import MAX_SEED

__all__ = ["Interpolation", "InterpolationOptions", "interpolate"]

MARKER = "interpolation.json"

FINE_STEPS = 64
"""Least number of steps that changes of the label are measured over: with few frames any path seems to jump."""

COLUMNS = 9

RENDERED_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class InterpolationOptions:
    """How a path is drawn.

    Attributes:
        num_frames: Frames, both ends among them.
        steps: Steps of the inversion of files; None for the bundle's number.
        truncation_psi: Of seeds: 1 draws from all that was learned, 0 gives the mean.
        modality: Of files of a bundle for volumes: ``auto``, or one that it accepts.
        animations: Formats of the animation; empty for none.
        frame_ms: How long a frame stays, milliseconds.
        max_jump: Share of the pixels that may change their class in one of at least `FINE_STEPS` steps: above, the
            path is said to jump.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    num_frames: Annotated[int, Range(2, 64)] = 16
    steps: Annotated[int, Range(0, 10_000)] | None = None
    truncation_psi: Annotated[float, Range(0, 1)] = 1.0
    modality: str = "auto"
    animations: tuple[AnimationFormat, ...] = ("webp",)
    frame_ms: Annotated[int, Range(20, 10_000)] = 150
    max_jump: Annotated[float, Range(0, 1)] = 0.05
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """A path and how its labels change.

    Attributes:
        schema: Version of this description.
        bundle: Whose generator drew it.
        ends: What lies at both: source and slice of a file, or a seed.
        options: How it was drawn.
        fine_steps: Steps that the changes were measured over.
        largest_change: Largest share of pixels that change their class in one of them.
        total_variation: Sum of these shares.
        direct_change: Share that differs between both ends.
        is_smooth: No step changes more than ``max_jump``.
        class_shares: Share of each class but the background, per frame.
    """

    schema: Literal["semigan-interpolation-1"] = "semigan-interpolation-1"
    bundle: BundleRecord
    ends: tuple[Any, ...]
    options: InterpolationOptions
    fine_steps: int
    largest_change: float
    total_variation: float
    direct_change: float
    is_smooth: bool
    class_shares: tuple[tuple[float, ...], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return what ``interpolation.json`` holds."""
        content: dict[str, Any] = to_json(self)
        return content


@dataclass(frozen=True)
class _End:
    embedding: Embedding
    record: dict[str, Any]
    given: NetworkInput | None = None


def interpolate(
    start: str,
    end: str,
    output: PathLike,
    *,
    bundle: PathLike,
    options: InterpolationOptions | None = None,
    progress: Progress | None = None,
) -> Interpolation:
    """Draw the path between two images.

    Writes ``grid.png``, the animations, ``images/`` and ``labels/`` with a PNG per frame, and ``interpolation.json``.

    Args:
        start: An image file, ``FILE:SLICE`` of a volume, or ``seed:N``.
        end: Another.
        output: Folder: new, empty, or of an earlier path, which is replaced.
        bundle: A shipped bundle's name, or a bundle folder.
        options: How the path is drawn.
        progress: Called with frames done and their number.

    Raises:
        ConfigError: A seed or an option is out of range.
        BundleError: The bundle cannot be used.
        InputError: A file cannot be read, or does not fit the bundle.
        GeometryError: A volume is no regular one.
        OutputError: The folder holds something else, or cannot be written.
    """
    options = options or InterpolationOptions()
    opened = open_bundle(bundle)
    loaded = opened.segmenter(
        device=options.device, options=SegmenterOptions(steps=options.steps, modality=options.modality)
    )
    ends = [_end(text, loaded, options) for text in (start, end)]
    images, labels, path = _render(loaded, ends, options, progress)
    shares = tuple(
        tuple(float((label == index).mean()) for index in range(1, len(opened.class_names))) for label in labels
    )
    result = Interpolation(
        bundle=loaded.bundle,
        ends=tuple(part.record for part in ends),
        options=options,
        fine_steps=len(path.changes),
        largest_change=path.largest_change,
        total_variation=path.total_variation,
        direct_change=path.direct_change,
        is_smooth=path.largest_change <= options.max_jump,
        class_shares=shares,
    )
    with replacing_results(output, MARKER) as folder:
        _write(folder, loaded, ends, images, labels, options)
        write_json(folder / MARKER, result.to_json())
    return result


def _end(text: str, loaded: Segmenter, options: InterpolationOptions) -> _End:
    found = re.fullmatch(r"seed:(\d+)", text)
    if found is None:
        if text.startswith("seed:") and not Path(text).exists():
            raise ConfigError(f"A seed must be a whole number from 0, as seed:3, got {text!r:.40}.")
        given = read_network_input(text, loaded)
        record = {"source": to_json(given.record), "slice": given.slice, "modality": given.chain}
        return _End(invert_input(loaded, given).embedding, record, given)
    seed = int(found[1])
    if seed > MAX_SEED:
        raise ConfigError(f"A seed must be at most {MAX_SEED}, got {seed}.")
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        w_plus = sample_w_plus(loaded.network.generator.mapping, 1, truncation_psi=options.truncation_psi, rng=rng)
    return _End(Embedding(w_plus), {"seed": seed})


@torch.no_grad()
def _render(
    loaded: Segmenter, ends: list[_End], options: InterpolationOptions, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, LabelPath]:
    """Return images and labels of the frames, and the changes over all fine steps."""
    between = -(-FINE_STEPS // (options.num_frames - 1))  # fine steps from one frame to the next
    count = between * (options.num_frames - 1) + 1
    positions = torch.linspace(0, 1, count)
    images, labels = [], []
    for first in range(0, count, RENDERED_AT_ONCE):
        part = interpolate_embeddings(ends[0].embedding, ends[1].embedding, positions[first : first + RENDERED_AT_ONCE])
        image, label_logits = loaded.network.generator.synthesis(part)
        labels.append(label_logits.argmax(dim=1).to(torch.uint8).cpu().numpy())
        images.append(image[(-first) % between :: between].float().cpu().numpy())
        if progress is not None:
            progress(min(first + RENDERED_AT_ONCE, count), count)
    fine = np.concatenate(labels)
    return np.concatenate(images), fine[::between], label_path(fine)


def _write(
    folder: Path,
    loaded: Segmenter,
    ends: list[_End],
    images: np.ndarray,
    labels: np.ndarray,
    options: InterpolationOptions,
) -> None:
    colors = loaded.model.colors
    tiles = [label_tile(image, label, colors) for image, label in zip(images, labels, strict=True)]
    captions = [f"{at / (len(tiles) - 1):.2f}" for at in range(len(tiles))]
    shown = [_input_tile(end, tiles[0].size) for end in ends]
    grid = [*shown[0], *tiles, *shown[1]]
    names = [*["input"] * len(shown[0]), *captions, *["input"] * len(shown[1])]
    save_image(folder / "grid.png", tile_grid(grid, names, columns=COLUMNS))
    for kind in dict.fromkeys(options.animations):
        write_bytes(folder / f"animation.{kind}", encode_animation(tiles, kind, frame_ms=options.frame_ms))
    for place in ("images", "labels"):
        (folder / place).mkdir()
    for at, (image, label) in enumerate(zip(images, labels, strict=True), start=1):
        save_image(folder / "images" / f"{at:02d}.png", Image.fromarray(as_pixels(image)))
        write_label(folder / "labels" / f"{at:02d}.png", label)


def _input_tile(end: _End, size: tuple[int, int]) -> list[Image.Image]:
    """What the network saw at an end that is a file, above nothing."""
    if end.given is None:
        return []
    tile = Image.new("RGB", size, (40, 40, 40))
    pixels = Image.fromarray(as_pixels(end.given.image)).convert("RGB")
    tile.paste(pixels.resize((size[0], size[0]), Image.Resampling.BICUBIC), (0, 0))
    return [tile]
