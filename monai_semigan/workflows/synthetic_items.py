# SPDX-License-Identifier: Apache-2.0
"""Drawn images with labels as files, and the folder that holds them: what it was begun with, and what is in it.

.. code-block:: text

    manifest.json           bundle, digest, seed, truncation, formats, versions, device
    items.jsonl             one line per item: its seed, the digests of its values and of its files
    images/000017.png       what the generator drew, 8 bits
    labels/000017.png       class ids
    nifti/, dicom/          the same, on request
    data.json, sheet.png    when all items are there
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image

from monai_semigan import __version__
from monai_semigan.devices import one_thread
from monai_semigan.errors import InputError, OutputError
from monai_semigan.files import parse_json, read_json, read_regular, write_json, write_text
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.label_file import write_label
from monai_semigan.io.label_volume import write_nifti_image, write_nifti_label
from monai_semigan.io.volume import SourceVolume
from monai_semigan.latent.sampling import draw_sample
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.networks.generator import Generator
from monai_semigan.pictures.overlay import as_pixels
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.segmentation.source import array_digest
from monai_semigan.settings import Pattern, Range, check_settings, read_settings, to_json
from monai_semigan.training.sample_sheet import save_image
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg_2d
from monai_semigan.writers.dicom_synthetic import NO_TIME, write_dicom_synthetic
from monai_semigan.writers.terminology import SegmentInfo

__all__ = [
    "FORMATS",
    "MAX_SEED",
    "Format",
    "SyntheticFolder",
    "SyntheticItem",
    "SyntheticManifest",
    "draw_pixels",
    "item_name",
]

Format = Literal["png", "nifti", "dicom"]
FORMATS: tuple[Format, ...] = ("png", "nifti", "dicom")

MANIFEST, ITEMS = "manifest.json", "items.jsonl"

MAX_BYTES = 1 << 27
"""Of the list of items: some hundred thousand."""

MAX_SEED = 2**62
"""PyTorch takes 64 bits, signed."""

Sha256 = Annotated[str, Pattern("[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits")]
FileName = Annotated[str, Pattern(r"(images|labels|nifti|dicom)/\d{6,}(_label|_seg)?\.(png|nii\.gz|dcm)", "of an item")]


@dataclass(frozen=True, kw_only=True)
class SyntheticManifest:
    """What a folder of drawn images was begun with: all that an item depends on beside its number.

    Attributes:
        schema: Version of this description.
        bundle: Whose generator draws.
        weights_sha256: Of its weights.
        seed: Of item 0; item ``i`` has ``seed + i``.
        truncation_psi: 1 draws from all that was learned, 0 gives the mean.
        formats: What is written of an item.
        num_items: How many there shall be.
        device: Kind of device: others round differently.
        versions: Of what drew: others may round differently.
    """

    schema: Literal["semigan-synthetic-1"] = "semigan-synthetic-1"
    bundle: BundleRecord
    weights_sha256: Sha256
    seed: Annotated[int, Range(0, MAX_SEED)]
    truncation_psi: Annotated[float, Range(0, 1)]
    formats: tuple[Format, ...]
    num_items: Annotated[int, Range(1, 1_000_000)]
    device: str
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        check_settings(self)

    def differences(self, other: SyntheticManifest) -> list[str]:
        """Name what makes items of two folders differ."""
        names = ("bundle", "weights_sha256", "seed", "truncation_psi", "formats", "device")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


@dataclass(frozen=True, kw_only=True)
class SyntheticItem:
    """One drawn image with its label.

    Attributes:
        index: Its number, from 0.
        seed: Of its latent code.
        image_sha256: Over the image's values, whatever file holds them.
        label_sha256: Over the label's.
        files: SHA-256 by name, relative to the folder.
    """

    index: Annotated[int, Range(0)]
    seed: Annotated[int, Range(0)]
    image_sha256: Sha256
    label_sha256: Sha256
    files: Mapping[FileName, Sha256] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_settings(self)


def draw_pixels(generator: Generator, seed: int, *, truncation_psi: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image with its label, as files hold them: the same bits for the same seed, on one kind of device.

    Returns:
        Grey ``(S, S)`` or RGB ``(S, S, 3)`` pixels, and class ids ``(S, S)``, uint8.
    """
    with one_thread(), torch.inference_mode():
        image, label_logits = draw_sample(generator, seed, truncation_psi=truncation_psi)
    return as_pixels(image[0].cpu().numpy()), label_logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()


def item_name(index: int) -> str:
    """Return the name of an item's files."""
    return f"{index:06d}"


class SyntheticFolder:
    """A folder of drawn images: it is continued where it was left, and every item is whole or not there.

    Args:
        folder: Existing.
        manifest: What is wanted.
        segments: What DICOM says of the classes.

    Raises:
        OutputError: There are other things in it, or items of other settings.
    """

    def __init__(self, folder: Path, manifest: SyntheticManifest, segments: tuple[SegmentInfo, ...]) -> None:
        self.folder, self.manifest, self.segments = folder, manifest, segments
        self.items: dict[int, SyntheticItem] = {}
        if (folder / MANIFEST).exists():
            self._continue()
        elif any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise OutputError(f"`{folder}` must be new, empty, or hold drawn images. Choose a folder of its own.")
        write_json(folder / MANIFEST, to_json(self.manifest))

    def _continue(self) -> None:
        content = read_json(self.folder / MANIFEST, MAX_BYTES, error=OutputError)
        before = read_settings(SyntheticManifest, content, MANIFEST, error=OutputError)
        names = before.differences(self.manifest)
        if names:
            raise OutputError(
                f"`{self.folder}` must be continued as it was begun, but {', '.join(names)} differ (see {MANIFEST}). "
                "Choose another folder."
            )
        if before.num_items > self.manifest.num_items:
            raise OutputError(
                f"`{self.folder}` must get at least the {before.num_items} images that it was begun for, got "
                f"{self.manifest.num_items}. Choose another folder."
            )
        if (self.folder / ITEMS).exists():
            for line in read_regular(self.folder / ITEMS, MAX_BYTES, error=OutputError).splitlines():
                self._take(line)
        # Whole lines alone: a run that was killed may have left half a one.
        write_text(self.folder / ITEMS, "".join(_line(item) for item in self.items.values()))

    def _take(self, line: bytes) -> None:
        """Take an item over whose files are as they were written; all others are drawn again."""
        try:
            item = read_settings(SyntheticItem, parse_json(line, ITEMS), ITEMS, error=InputError)
        except InputError:
            return
        paths = {self.folder / name: digest for name, digest in item.files.items()}
        if item.files and all(path.is_file() and file_digest(path) == digest for path, digest in paths.items()):
            self.items[item.index] = item

    def write(self, index: int, image: np.ndarray, label: np.ndarray) -> SyntheticItem:
        """Write an item's files and note it.

        Raises:
            OutputError: A file cannot be written, or the item is there with other values.
        """
        digests = array_digest(image), array_digest(label)
        before = self.items.get(index)
        if before is not None and (before.image_sha256, before.label_sha256) != digests:
            raise OutputError(
                f"Item {index} must have the bits that {ITEMS} names, but was drawn with others. Use the versions of "
                f"{MANIFEST}, or another folder."
            )
        for place in ("images", "labels", *(name for name in self.manifest.formats if name != "png")):
            (self.folder / place).mkdir(exist_ok=True)
        names: list[str] = []
        for name in ("png", *(name for name in self.manifest.formats if name != "png")):
            names += WRITERS[name](self, index, image, label)
        files = {name: file_digest(self.folder / name) for name in names}
        item = SyntheticItem(
            index=index,
            seed=self.manifest.seed + index,
            image_sha256=digests[0],
            label_sha256=digests[1],
            files=files,
        )
        if before != item:
            self.items[index] = item
            with (self.folder / ITEMS).open("a") as stream:
                stream.write(_line(item))
        return item

    def finish(self, class_names: tuple[str, ...]) -> None:
        """Write the list of items in order, and the data list that a training takes."""
        ordered = [self.items[index] for index in sorted(self.items)]
        write_text(self.folder / ITEMS, "".join(map(_line, ordered)))
        entries = [
            {
                "image": f"images/{item_name(item.index)}.png",
                "label": f"labels/{item_name(item.index)}.png",
                "patient_id": f"synthetic-{item_name(item.index)}",
            }
            for item in ordered
        ]
        content = {"schema": "semigan-datalist-1", "label_values": "classes", "class_names": list(class_names)}
        write_json(self.folder / "data.json", {**content, "labelled": entries, "unlabelled": [], "validation": []})

    def _write_png(self, index: int, image: np.ndarray, label: np.ndarray) -> list[str]:
        name = f"{item_name(index)}.png"
        save_image(self.folder / "images" / name, Image.fromarray(image))
        write_label(self.folder / "labels" / name, label)
        return [f"images/{name}", f"labels/{name}"]

    def _write_nifti(self, index: int, image: np.ndarray, label: np.ndarray) -> list[str]:
        # Columns to the left, rows to the back, as radiologists see it; what has no place in space is 1 mm wide.
        flat = np.swapaxes(image, 0, 1)[:, :, None]
        grid = VoxelGrid((flat.shape[0], flat.shape[1], 1), np.diag([-1.0, -1.0, 1.0, 1.0]))
        volume = SourceVolume(name="synthetic", voxels=label.T[:, :, None], grid=grid)
        names = [f"nifti/{item_name(index)}{part}.nii.gz" for part in ("", "_label")]
        write_nifti_image(self.folder / names[0], flat, volume)
        write_nifti_label(self.folder / names[1], volume.voxels, volume)
        return names

    def _write_dicom(self, index: int, image: np.ndarray, label: np.ndarray) -> list[str]:
        bundle, manifest = self.manifest.bundle, self.manifest
        algorithm = AlgorithmInfo(
            name=bundle.name,
            version=f"{bundle.version} ({__version__})"[:64],
            digest=bundle.digest,
            settings={"seed": manifest.seed + index, "truncation": manifest.truncation_psi, "device": manifest.device},
            created=NO_TIME,
        )
        names = [f"dicom/{item_name(index)}{part}.dcm" for part in ("", "_seg")]
        header = write_dicom_synthetic(self.folder / names[0], image, algorithm=algorithm, number=index + 1)
        write_dicom_seg_2d(
            self.folder / names[1], label, header, segments=self.segments, algorithm=algorithm, empty="write"
        )
        return names


WRITERS: dict[str, Callable[[SyntheticFolder, int, np.ndarray, np.ndarray], list[str]]] = {
    "png": SyntheticFolder._write_png,
    "nifti": SyntheticFolder._write_nifti,
    "dicom": SyntheticFolder._write_dicom,
}


def _line(item: SyntheticItem) -> str:
    content: Any = to_json(item)
    return json.dumps(content) + "\n"
