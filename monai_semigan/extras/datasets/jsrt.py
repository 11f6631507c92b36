# SPDX-License-Identifier: Apache-2.0
"""JSRT chest X-rays (Shiraishi et al. 2000) with the lung masks of SCR (van Ginneken et al. 2006).

::

    All247images/JPCLN001.IMG ... JPCLN154.IMG, JPCNN001.IMG ... JPCNN093.IMG
    scratch/fold1/masks/left lung/JPCLN001.gif   (and right lung; fold2 has the other half)

The images are headerless: 2048 x 2048 pixels of 0.175 mm, 12 bits in big-endian 16, high where the film is black. They
are written as 16-bit PNG with bright bones. SCR's masks are 1024 x 1024 and are doubled. One image per patient.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.errors import InputError
from monai_semigan.extras.datasets.collection import Collection, Subject, Written
from monai_semigan.extras.datasets.layout import files_by_stem, find_folder, read_mask, refuse_incomplete
from monai_semigan.io.label_file import write_label

__all__ = ["collect", "read_img"]

SIDE = 2048
MAX_VALUE = 4095
NUM_NODULE, NUM_NORMAL = 154, 93


def collect(source: Path) -> Collection:
    """Check the download and list its patients.

    Raises:
        InputError: It does not follow the layout or is incomplete.
    """
    names = [f"JPCLN{at:03d}" for at in range(1, NUM_NODULE + 1)] + [
        f"JPCNN{at:03d}" for at in range(1, NUM_NORMAL + 1)
    ]
    folder = find_folder(source, ["All247images", "*/All247images"], "the images of JSRT")
    images = files_by_stem(folder, "*.[iI][mM][gG]")
    whole = {name for name, path in images.items() if path.stat().st_size == SIDE * SIDE * 2}
    refuse_incomplete("JSRT", (f"{folder.name}/{name}.IMG" for name in names if name not in whole), len(names))
    masks = find_folder(source, ["scratch", "*/scratch", "."], "the masks of SCR")
    sides = [_masks(masks, side) for side in ("left lung", "right lung")]
    missing = (f"masks/*/{name}.gif" for name in names if any(name not in side for side in sides))
    refuse_incomplete("SCR", missing, len(names))
    subjects = tuple(
        Subject(patient_id=name, has_label=True, write=partial(_write, images[name], [side[name] for side in sides]))
        for name in names
    )
    return Collection(subjects=subjects, class_names=("background", "lung"))


def read_img(path: Path) -> np.ndarray:
    """Read a headerless image of JSRT, ``(2048, 2048)`` uint16, 0 to 4095, inverted so that bones are bright.

    Raises:
        InputError: The size or a value is not possible.
    """
    stored = np.fromfile(path, dtype=">u2")
    if stored.size != SIDE * SIDE:
        raise InputError(
            f"`{path.name}` must hold {SIDE} x {SIDE} 16-bit pixels, got {stored.size}. Download it again."
        )
    if stored.max() > MAX_VALUE:
        raise InputError(f"`{path.name}` must hold 12-bit big-endian values up to {MAX_VALUE}, got {stored.max()}.")
    return (MAX_VALUE - stored).reshape(SIDE, SIDE).astype(np.uint16)


def _masks(folder: Path, side: str) -> dict[str, Path]:
    return files_by_stem(folder, f"fold[12]/masks/{side}/*.gif")


def _write(image: Path, masks: list[Path], folder: Path) -> Written:
    name = image.stem
    pixels = read_img(image)
    small = np.logical_or.reduce([read_mask(mask) for mask in masks])
    scale = SIDE // small.shape[0]
    if (small.shape[0] * scale, small.shape[1] * scale) != pixels.shape:
        raise InputError(f"The masks of `{name}` must divide {SIDE} x {SIDE}, got {small.shape}.")
    for part in ("images", "labels"):
        (folder / part).mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
    write_label(folder / "labels" / f"{name}.png", small.repeat(scale, axis=0).repeat(scale, axis=1))
    entry = {"image": f"images/{name}.png", "label": f"labels/{name}.png", "spacing_mm": [0.175, 0.175]}
    return Written(images=(entry,))
