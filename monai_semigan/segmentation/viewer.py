# SPDX-License-Identifier: Apache-2.0
"""The viewer of a case: one page that opens without a network, with all that it shows inside.

A volume's planes are drawn by a small program of ours on plain canvases, which needs no GPU; its 3-D view by NiiVue,
from a coarse copy. A volume that is large even compressed lies beside the page, and is read through ``semigan view``.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.files import write_bytes, write_text
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import Reorientation, reorient_to
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.screen_volume import image_nifti, label_nifti, share_nifti
from monai_semigan.io.volume import SourceVolume
from monai_semigan.pictures.layers import MAX_SIDE, image_layers, share_layer
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.templates import render, vendored

__all__ = ["MAX_EMBEDDED_BYTES", "MAX_USUAL_VOXELS", "VIEWER_FILE", "VIEWER_IMAGE", "write_viewer"]

VIEWER_FILE = "viewer.html"

VIEWER_IMAGE = "viewer-image.nii.gz"
"""The image of a volume that is too large to be embedded."""

MAX_EMBEDDED_BYTES = 16 * 2**20
"""Of a compressed image: about 512 x 512 x 60 voxels of CT, and a page of 22 MB."""

MAX_USUAL_VOXELS = 2**27
"""512 x 512 x 512: a larger volume gets a viewer on request alone; it would fill a browser's memory."""

MAX_SIDE_3D = 96
"""Voxels along an axis of the coarse copy: it also has to turn where there is no GPU."""

CT_WINDOWS = (
    ("soft tissue", 50, 400),
    ("liver", 30, 150),
    ("lung", -600, 1500),
    ("bone", 400, 1800),
)
"""Name, level and width, HU: as commonly taught."""

HEAT_NOTE = "Overlays of 0 to 1 go from clear over red and yellow to white."

SHOWN_PERCENTILES = (0.5, 99.5)
"""Of the values of an MR that ``auto`` shows black and white, as in the pictures of images."""

MAX_SAMPLES = 1_000_000

KEYS = {
    "volume": (
        ("1 2 3 4", "axial, coronal, sagittal, 3-D alone"),
        ("0", "all views"),
        ("↑ ↓", "next and previous slice of the view last used"),
        ("Page ↑ ↓", "ten slices"),
        ("w", "next window"),
    ),
    "image": (("1 2 3 4", "image, network input, reconstruction, difference"),),
    "both": (
        ("o", "overlay on or off"),
        ("m", "next overlay"),
        ("[ ]", "less and more opacity"),
        ("c", "contour on or off"),
        ("+ -", "zoom"),
        ("r", "reset"),
    ),
    "volume mouse": (
        ("x", "crosshair on or off"),
        ("click, drag", "moves the crosshair"),
        ("wheel", "slices; with Ctrl zoom"),
        ("right or Shift + drag", "window: across its width, up and down its level"),
        ("drag in 3-D", "turns"),
    ),
    "image mouse": (("wheel", "zoom"), ("drag", "moves the picture when zoomed")),
}


def write_viewer(path: Path, result: Segmentation) -> None:
    """Write the page, and beside it `VIEWER_IMAGE` where the volume is too large for the page.

    Raises:
        OutputError: A file cannot be written.
    """
    if isinstance(result.source.data, SourceImage):
        write_text(path, _image_page(result, result.source.data))
        return
    page, beside = _volume_page(result, result.source.data)
    if beside is not None:
        write_bytes(path.with_name(VIEWER_IMAGE), beside)
    write_text(path, page)


def _image_page(result: Segmentation, data: SourceImage) -> str:
    seen = result.view
    view = None if seen is None else (seen.image, seen.reconstruction, seen.label)
    layers = image_layers(data.pixels, data.as_shown(result.label), view)
    maps = {name: share_layer(data.as_shown(share)) for name, share in _maps(result).items()}
    height, width = data.pixels.shape[:2]
    down, across = data.spacing_mm or (1.0, 1.0)
    facts = {
        "kind": "image",
        "layers": [name for name, *_ in layers],
        "extent": [width * across, height * down],
        "unit": "mm" if data.spacing_mm else "",
        "maps": list(maps),
    }
    square = "Input, reconstruction and difference are what the network sees: its own square." if seen else ""
    return _render(
        result.record,
        facts,
        pictures=[picture for _, picture, _ in layers],
        ids=[layers[0][2], *([] if view is None else [layers[-1][2]])],
        maps=maps,
        note=" ".join(filter(None, (square, HEAT_NOTE if maps else ""))),
        keys=KEYS["image"] + KEYS["both"] + KEYS["image mouse"],
        made=f"pictures are at most {MAX_SIDE} pixels long, JPEG.",
    )


def _volume_page(result: Segmentation, data: SourceVolume) -> tuple[str, bytes | None]:
    view = reorient_to(data.grid)
    is_ct = result.record.modality == "CT"
    voxels, label = view.apply(data.voxels), view.apply(result.label)
    maps = _maps(result)
    image = image_nifti(voxels, view.target, is_ct=is_ct)
    beside = image if len(image) > MAX_EMBEDDED_BYTES else None
    thin, coarse = _thinned(view.target)
    volumes = {} if beside is not None else {"image": image}
    volumes["label"] = label_nifti(label, view.target)
    volumes |= {name: share_nifti(view.apply(share), view.target) for name, share in maps.items()}
    volumes["image-3d"] = image_nifti(voxels[thin], coarse, is_ct=is_ct)
    volumes["label-3d"] = label_nifti(label[thin], coarse)
    facts = {
        "kind": "volume",
        "shape": view.target.shape,
        "spacing": view.target.spacing_mm,
        "affine": view.target.affine.tolist(),
        "is_flipped": view.flips,
        "start": _start(label),
        "windows": _windows(result, voxels),
        "value_unit": " HU" if is_ct else "",
        "image_file": VIEWER_IMAGE if beside is not None else "",
        "maps": list(maps),
    }
    program = vendored("niivue.js")
    page = _render(
        result.record,
        facts,
        volumes=volumes,
        niivue=program,
        packed_niivue=_packed_niivue(),
        note=" ".join(filter(None, (_plane_note(view), HEAT_NOTE if maps else ""))),
        keys=KEYS["volume"] + KEYS["both"] + KEYS["volume mouse"],
        made="values are rounded" + (" to whole HU" if is_ct else "") + ", the 3-D view is coarse.",
    )
    return page, beside


def _render(record: CaseRecord, facts: dict[str, Any], **values: Any) -> str:
    classes = [{"name": part.name, "color": part.color or (255, 255, 255)} for part in record.classes]
    empty = {"volumes": {}, "niivue": "", "packed_niivue": b"", "pictures": [], "ids": [], "maps": {}}
    return render("viewer.html", record=record, facts=facts | {"classes": classes}, **(empty | values))


def _maps(result: Segmentation) -> dict[str, np.ndarray]:
    """What can lie on the image beside the label, in [0, 1] on its grid, by name."""
    return {} if result.probability is None else {"probability": result.probability}


@lru_cache(maxsize=1)
def _packed_niivue() -> bytes:
    return gzip.compress(vendored("niivue.js").encode(), 9, mtime=0)


def _thinned(grid: VoxelGrid) -> tuple[tuple[slice, ...], VoxelGrid]:
    """Choose every n-th voxel along each axis, and say where these lie."""
    steps = [-(-size // MAX_SIDE_3D) for size in grid.shape]
    shape = tuple(-(-size // step) for size, step in zip(grid.shape, steps, strict=True))
    return tuple(slice(None, None, step) for step in steps), VoxelGrid(
        (shape[0], shape[1], shape[2]), grid.affine @ np.diag([*steps, 1.0])
    )


def _start(label: np.ndarray) -> list[int]:
    """Where the crosshair is first: in each axis the slice with the most label, else the middle."""
    if not label.any():
        return [size // 2 for size in label.shape]
    counts = [np.count_nonzero(label, axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    return [int(np.argmax(count)) for count in counts]


def _windows(result: Segmentation, voxels: np.ndarray) -> list[dict[str, Any]]:
    """Windows to choose from, the first one shown first: those of CT, or what suits the values; then the network's."""
    found = [] if result.window is None else [("as segmented", *result.window)]
    if result.record.modality == "CT":
        found = [(name, level - width / 2, level + width / 2) for name, level, width in CT_WINDOWS] + found
    else:
        sample = voxels.reshape(-1)[:: max(1, voxels.size // MAX_SAMPLES)]
        sample = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
        low, high = np.percentile(sample, SHOWN_PERCENTILES) if sample.size else (0, 1)
        found = [("auto", float(low), float(high)), *found, ("all values", float(sample.min()), float(sample.max()))]
    return [
        {"name": name, "low": float(low), "high": float(high) if high > low else float(low) + 1.0}
        for name, low, high in found
    ]


def _plane_note(view: Reorientation) -> str:
    directions = np.abs(view.target.directions)
    if np.allclose(directions.max(axis=0), 1, atol=1e-3):
        return ""
    return "The volume lies askew in the scanner: its planes are shown as they were acquired, named by the nearest."
