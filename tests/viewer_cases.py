"""Segmented cases in memory that the viewer's tests share: asymmetric, so that flips and swapped axes show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from case_records import image_record, volume_record

from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.record import ClassRecord
from monai_semigan.segmentation.result import Model, NetworkView, Segmentation
from monai_semigan.segmentation.source import Source

EVIL = "</script><script>alert(1)</script>\"'"
RED, BLUE = (230, 60, 60), (60, 160, 255)
MODEL = Model(class_names=("background", "liver", EVIL), colors=((0, 0, 0), RED, BLUE), segments=())
CLASSES = (ClassRecord(name="liver", share=0.1, color=RED), ClassRecord(name=EVIL, share=0.01, color=BLUE))

RAS = np.array([[2.0, 0, 0, -40], [0, 2.0, 0, -30], [0, 0, 5.0, -20], [0, 0, 0, 1]])
"""2 x 2 x 5 mm; all axes of the file grow against those of the display, but the last."""


def volume_case(
    shape: tuple[int, int, int] = (40, 30, 12), *, affine: np.ndarray = RAS, modality: str = "CT", **changes: Any
) -> Segmentation:
    """A grey body with a bright organ at the patient's right, labelled; a second class in one voxel."""
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    x, y, z = (index / size for index, size in zip((i, j, k), shape, strict=True))
    voxels = np.where(((x - 0.5) / 0.45) ** 2 + ((y - 0.5) / 0.45) ** 2 + 0 * z < 1, 20, -1000).astype(np.int16)
    organ = ((x - 0.7) / 0.15) ** 2 + ((y - 0.6) / 0.2) ** 2 + ((z - 0.4) / 0.25) ** 2 < 1
    voxels[organ] = 120
    label = organ.astype(np.uint8)
    label[shape[0] // 4, shape[1] // 4, shape[2] // 2] = 2
    record = volume_record(
        EVIL, size=shape, spacing_mm=(2.0, 2.0, 5.0), classes=CLASSES, modality=modality, warnings=(EVIL,)
    )
    data = SourceVolume(name="v", voxels=voxels, grid=VoxelGrid(shape, affine), modality=modality)
    values = {
        "source": Source(data=data, record=record.source, case="v"),
        "label": label,
        "record": record,
        "model": MODEL,
        "probability": np.where(organ, 0.8, 0.1).astype(np.float32),
        "window": (-140.0, 260.0),
    }
    return Segmentation(**(values | changes))


def image_case(height: int = 60, width: int = 90, **changes: Any) -> Segmentation:
    """A grey ramp with a labelled rectangle near its lower left corner."""
    pixels = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    label = np.zeros((height, width), dtype=np.uint8)
    label[40:55, 5:35] = 1
    ramp = np.tile(np.linspace(-1, 1, 32, dtype=np.float32), (1, 32, 1))
    square = np.zeros((32, 32), dtype=np.uint8)
    square[20:28, 2:12] = 1
    record = image_record(EVIL, size=(height, width), classes=CLASSES[:1], warnings=(EVIL,))
    values = {
        "source": Source(data=SourceImage(path=Path("a.png"), pixels=pixels), record=record.source, case="a"),
        "label": label,
        "record": record,
        "model": MODEL,
        "view": NetworkView(ramp, -ramp, square),
    }
    return Segmentation(**(values | changes))
