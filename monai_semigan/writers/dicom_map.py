# SPDX-License-Identifier: Apache-2.0
"""Write a map of probabilities as DICOM Parametric Map (PS3.3 A.75) that lies on its source image frame by frame.

A Parametric Map must lie somewhere in the patient. Of an image that does not, an X-ray or a photograph, the map is
written as DICOM SEG of fractions (PS3.3 C.8.20.2.3), which needs no frame of reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_semigan.errors import OutputError
from monai_semigan.types import PathLike
from monai_semigan.writers.dicom_result import (
    SERIES_DESCRIPTION,
    AlgorithmInfo,
    coded,
    complete,
    derived_uid,
    instance_number,
    making,
    private_scheme,
    save,
    series_number,
)
from monai_semigan.writers.dicom_seg import SegRecipe
from monai_semigan.writers.dicom_source import SourceFrames, refer_without_plane
from monai_semigan.writers.terminology import PRIVATE_SCHEME, Code, SegmentInfo

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["LEVELS", "write_dicom_map"]

SERIES_OFFSET = 4000
"""Added to the source's SeriesNumber."""

LEVELS = 2**16 - 1
"""Stored value of probability 1. A multiple of 255, so that the 255 steps of a volume's probabilities are exact."""

PROBABILITY = Code("probability", PRIVATE_SCHEME, "Probability of the class")
NO_UNITS = Code("1", "UCUM", "no units")


def write_dicom_map(
    path: PathLike,
    probability: np.ndarray,
    source: SourceFrames,
    *,
    segment: SegmentInfo,
    algorithm: AlgorithmInfo,
) -> Path:
    """Write the probability that a pixel is of a class.

    Integers are stored, as many viewers show no other; the real-world value mapping gives the probability, 0 to 1, with
    an error of at most 1 / 131070; of an image without a place in the patient 1 / 510.

    Args:
        path: The file to write; an existing one is replaced.
        probability: On the volume's grid, ``(I, J, K)``, or the image's, ``(H, W)``; 0 to 1.
        source: Where the source's frames lie.
        segment: The class.
        algorithm: What made the map.

    Raises:
        OutputError: The map does not fit the source or is out of range, or the file cannot be written.
    """
    path = Path(path)
    frames = source.frames(probability)
    shape = len(source.slices), int(source.full.Rows), int(source.full.Columns)
    if frames.shape != shape:
        raise OutputError(f"`probability` must have the source's {shape} frames, rows and columns, got {frames.shape}.")
    if not (frames.size and 0 <= float(frames.min()) <= float(frames.max()) <= 1):
        raise OutputError("`probability` must be 0 to 1 everywhere.")
    with making(path.name):
        if source.has_planes:
            result = _make(_stored(frames), source, segment, algorithm)
        else:
            recipe = SegRecipe(segments=[segment], algorithm=algorithm, kind="FRACTIONAL", offset=SERIES_OFFSET)
            result = recipe.make(frames, source.headers, source.full)
            refer_without_plane(result, source.full)
    return save(result, path)


def _stored(frames: np.ndarray) -> np.ndarray:
    stored = np.empty(frames.shape, dtype=np.uint16)
    for at, frame in enumerate(frames):  # one by one: a volume of floats is large enough once
        stored[at] = np.rint(frame * np.float32(LEVELS))
    return stored


def _make(stored: np.ndarray, source: SourceFrames, segment: SegmentInfo, algorithm: AlgorithmInfo) -> Dataset:
    """Build the object, patient and study included."""
    import highdicom as hd  # noqa: PLC0415  (0.6 s to import)

    headers, full = source.headers, source.full

    def seed(uids: Sequence[str]) -> list[Any]:
        return ["map", list(uids), algorithm.digest, algorithm.settings, segment.name, segment.type]

    mapping = hd.pm.RealWorldValueMapping(
        lut_label="PROBABILITY",
        lut_explanation=f"Probability of {segment.name}"[:64],
        unit=coded(NO_UNITS),
        value_range=(0, LEVELS),
        slope=1 / LEVELS,
        intercept=0,
        quantity_definition=coded(PROBABILITY),
    )
    result = hd.pm.ParametricMap(
        source_images=headers,
        pixel_array=stored,
        series_instance_uid=derived_uid("series", *seed([str(headers[0].SeriesInstanceUID)])),
        series_number=series_number(full, SERIES_OFFSET),
        sop_instance_uid=derived_uid(*seed(source.uids)),
        instance_number=instance_number(full) if len(headers) == 1 else 1,
        series_description=SERIES_DESCRIPTION,
        content_description=SERIES_DESCRIPTION,
        content_label="PROBABILITY",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=LEVELS / 2, window_width=LEVELS)],
        coding_schemes=[private_scheme()],
        **algorithm.equipment,
    )
    result.Laterality = source.laterality  # type 2C
    complete(result, full, algorithm, seed=seed(source.uids))
    return result
