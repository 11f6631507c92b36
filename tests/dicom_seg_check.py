# SPDX-License-Identifier: Apache-2.0
"""Labels and options for DICOM SEG, and the way back from it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
from dicom_series_builder import (
    SHAPE,
)

from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.volume import SourceVolume
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.terminology import segments_of_classes

SEGMENTS = segments_of_classes(["background", "liver", "face hair"], [(0, 0, 0), (221, 130, 101), (10, 20, 200)])
CREATED = datetime.datetime(2020, 1, 2, 3, 4, 5)
ALGORITHM = AlgorithmInfo(name="a_bundle", version="1.2.3", digest="ab" * 32, created=CREATED)
OPTIONS: dict[str, Any] = {"segments": SEGMENTS, "algorithm": ALGORITHM}


def asymmetric_label(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Two classes without any symmetry; the first slice is empty, the last has both."""
    label = np.zeros(shape, dtype=np.uint8)
    label[1:4, 2:, 1:3] = 1
    label[2:, 1, 2:] = 2
    label[0, 0, -1] = 1
    return label


def read_back(path: Path, volume: SourceVolume) -> np.ndarray:
    """Read a SEG with highdicom and bring it onto the volume's grid by its own geometry, not by file order."""
    import highdicom as hd

    affine = lps_from_ras(volume.grid.affine)
    label = np.zeros(volume.grid.shape, dtype=np.uint8)
    segmentation = hd.seg.segread(path)
    read = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    for index in np.argwhere(read.array):
        place = read.affine @ [*index, 1]
        target = np.linalg.solve(affine, place)
        np.testing.assert_allclose(target, np.rint(target), atol=1e-3)
        label[tuple(np.rint(target[:3]).astype(int))] = read.array[tuple(index)]
    return label
