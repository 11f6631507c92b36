# SPDX-License-Identifier: Apache-2.0
"""Draw images with their labels from a bundle's generator, so that each can be drawn again bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.devices import choose_device, one_thread
from monai_semigan.errors import ConfigError
from monai_semigan.files import RunLock, make_folder
from monai_semigan.latent.sampling import draw_sample
from monai_semigan.networks.generator import Generator
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.settings import Range, check_settings
from monai_semigan.training.sample_sheet import sample_sheet, save_image
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.synthetic_items import (
    MAX_SEED,
    Format,
    SyntheticFolder,
    SyntheticItem,
    SyntheticManifest,
    draw_pixels,
)

__all__ = ["SynthesisOptions", "SynthesisResult", "synthesize"]

SHEET_ITEMS = 32
"""On the sheet, eight pairs a row."""


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """What is drawn.

    Attributes:
        num_items: Images, each with its label.
        seed: Of item 0; item ``i`` has ``seed + i``, so a larger set begins with the smaller one.
        truncation_psi: 1 draws from all that was learned, 0 gives the mean.
        formats: What is written beside PNG: ``nifti``, ``dicom``.
        only: Numbers of items, below ``num_items``, that are drawn, again if they are there; empty for all that are
            not there yet.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    num_items: Annotated[int, Range(1, 1_000_000)] = 32
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    truncation_psi: Annotated[float, Range(0, 1)] = 1.0
    formats: tuple[Format, ...] = ("png",)
    only: tuple[int, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)
        outside = [index for index in self.only if not 0 <= index < self.num_items]
        if outside:
            raise ConfigError(
                f"`only` must be numbers from 0 to {self.num_items - 1}, got {outside[0]}. Items are counted from 0; "
                "raise the number of images for more."
            )


@dataclass(frozen=True, kw_only=True)
class SynthesisResult:
    """What is in the folder now.

    Attributes:
        folder: Where.
        manifest: What all items have in common.
        drawn: Items of this call, in order.
        num_there: Items in the folder.
    """

    folder: Path
    manifest: SyntheticManifest
    drawn: tuple[SyntheticItem, ...]
    num_there: int

    @property
    def is_complete(self) -> bool:
        """Whether all items that were asked for are there, and with them the data list."""
        return self.num_there == self.manifest.num_items

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        return {
            "folder": str(self.folder),
            "bundle": self.manifest.bundle.name,
            "bundle_digest": self.manifest.bundle.digest,
            "drawn": [item.index for item in self.drawn],
            "items": self.num_there,
            "is_complete": self.is_complete,
        }


def synthesize(
    output: PathLike,
    *,
    bundle: PathLike,
    options: SynthesisOptions | None = None,
    progress: Progress | None = None,
) -> SynthesisResult:
    """Draw images with labels into a folder; a call that was interrupted is continued by the same call.

    Items are drawn one at a time on one thread, so that neither their number, nor what was there before, nor the
    machine's cores change a bit of them.

    Args:
        output: The folder: new, empty, or of an earlier call with the same options.
        bundle: A shipped bundle's name, or a bundle folder.
        options: How many, and which.
        progress: Called with items drawn and their number.

    Raises:
        ConfigError: An option is out of range.
        BundleError: The bundle cannot be used.
        OutputError: The folder holds something else, or cannot be written; or an item drawn again has other bits than
            the one that is there.
        TrainingError: Another process draws into the folder.
    """
    options = options or SynthesisOptions()
    opened, device = open_bundle(bundle), choose_device(options.device)
    network = load_network(opened, device=device)
    assert opened.weights_sha256 is not None  # load_network's own check
    wanted = SyntheticManifest(
        bundle=BundleRecord(name=opened.name, version=opened.version, digest=opened.digest),
        weights_sha256=opened.weights_sha256,
        seed=options.seed,
        truncation_psi=options.truncation_psi,
        formats=tuple(dict.fromkeys(("png", *options.formats))),
        num_items=options.num_items,
        device=device.type,
        versions=environment(),
    )
    with RunLock(make_folder(output)) as lock:
        folder = SyntheticFolder(lock.folder, wanted, opened.segments)
        chosen = sorted(set(options.only)) or [at for at in range(options.num_items) if at not in folder.items]
        drawn = []
        for done, index in enumerate(chosen):
            pixels = draw_pixels(network.generator, options.seed + index, truncation_psi=options.truncation_psi)
            drawn.append(folder.write(index, *pixels))
            if progress is not None:
                progress(done + 1, len(chosen))
        result = SynthesisResult(folder=folder.folder, manifest=wanted, drawn=tuple(drawn), num_there=len(folder.items))
        if result.is_complete:
            folder.finish(opened.class_names)
            _write_sheet(folder.folder / "sheet.png", network.generator, options)
    return result


def _write_sheet(path: Path, generator: Generator, options: SynthesisOptions) -> None:
    seeds: Sequence[int] = range(options.seed, options.seed + min(SHEET_ITEMS, options.num_items))
    with one_thread(), torch.inference_mode():
        pairs = [draw_sample(generator, seed, truncation_psi=options.truncation_psi) for seed in seeds]
    images, logits = (torch.cat(part).cpu() for part in zip(*pairs, strict=True))
    save_image(path, sample_sheet(images, logits.softmax(dim=1)))
