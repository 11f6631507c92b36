"""All DICOM objects of a result, of sources of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from dicom_seg_check import ALGORITHM, OPTIONS, SEGMENTS, asymmetric_label
from dicom_series_builder import write_image, write_multiframe, write_series

from monai_semigan.io.volume import SourceVolume
from monai_semigan.writers.dicom_contours import write_dicom_contours
from monai_semigan.writers.dicom_map import write_dicom_map
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_seg import write_dicom_seg, write_dicom_seg_2d
from monai_semigan.writers.dicom_source import SourceFrames, place_frames, place_image, source_header
from monai_semigan.writers.dicom_sr import CaseFindings, Evaluated, Finding, Measured, write_dicom_sr
from monai_semigan.writers.terminology import PRIVATE_SCHEME, Code

VOLUME = Code("118565006", "SCT", "Volume")
DICE = Code("expected-dice", PRIVATE_SCHEME, "Expected Dice")
ERROR = Code("error", PRIVATE_SCHEME, "Reconstruction error")
EXTENT, CUT = Code("extent", PRIVATE_SCHEME, "Extent"), Code("cut", PRIVATE_SCHEME, "Cut")
ML, NO_UNITS = Code("mL", "UCUM", "mL"), Code("1", "UCUM", "no units")


@dataclass(frozen=True)
class Case:
    """A source on disk with a label and probabilities; ``volume`` is None for an image."""

    headers: tuple[Any, ...]
    place: SourceFrames
    label: np.ndarray
    volume: SourceVolume | None

    @property
    def probability(self) -> np.ndarray:
        steps = np.random.default_rng(3).integers(0, 256, self.label.shape)
        return steps.astype(np.float32) / 255


def of_volume(volume: SourceVolume) -> Case:
    place = place_frames(volume.origin, volume.grid)
    return Case(volume.origin.headers, place, asymmetric_label(), volume)


def of_image(path: Path) -> Case:
    label = asymmetric_label((12, 9, 3))[:, :, 2].T.copy()
    return Case((source_header(path),), place_image(path), label, None)


def color(path: Path, modality: str) -> Path:
    return write_image(path, modality, SamplesPerPixel=3, PhotometricInterpretation="RGB")


SOURCES: dict[str, Callable[[Path], Case]] = {
    "CT": lambda folder: of_volume(write_series(folder)),
    "oblique CT": lambda folder: of_volume(write_series(folder, "oblique", is_reversed=True)),
    "enhanced MR": lambda folder: of_volume(write_multiframe(folder)),
    "enhanced MR per frame": lambda folder: of_volume(write_multiframe(folder, is_everything_per_frame=True)),
    "CR": lambda folder: of_image(write_image(folder / "a.dcm", "CR", PixelSpacing=[0.2, 0.3])),
    "DX": lambda folder: of_image(
        write_image(folder / "a.dcm", "DX", Laterality="R", PhotometricInterpretation="MONOCHROME1")
    ),
    "dermoscopy": lambda folder: of_image(color(folder / "a.dcm", "DMS")),
    "photograph": lambda folder: of_image(color(folder / "a.dcm", "XC")),
}
"""By name."""


def findings(*, is_volume: bool = True) -> CaseFindings:
    """Numbers that no decimal string of 16 characters holds."""
    return CaseFindings(
        findings=(
            Finding(SEGMENTS[0], (Measured(VOLUME, ML, 1000 / 3), Measured(DICE, NO_UNITS, 0.1 + 0.2))),
            Finding(SEGMENTS[1], (Measured(VOLUME, ML, 0.0),), (Evaluated(EXTENT, CUT),)),
        ),
        measured=(Measured(ERROR, NO_UNITS, 1 / 7, ERROR),),
        notes=("An organ is cut.", "Größe"),
        is_volume=is_volume,
    )


def seg(path: Path, case: Case, **changes: Any) -> Path | None:
    if case.volume is None:
        return write_dicom_seg_2d(path, case.label, case.headers[0], **(OPTIONS | changes))
    return write_dicom_seg(path, case.label, case.volume, **(OPTIONS | changes))


def sr(path: Path, case: Case, **changes: Any) -> Path:
    known = {"algorithm": ALGORITHM, "seg": seg(path.with_suffix(".seg"), case)}
    return write_dicom_sr(path, findings(is_volume=case.volume is not None), case.headers, **(known | changes))


def probability(path: Path, case: Case, **changes: Any) -> Path:
    known = {"segment": SEGMENTS[0], "algorithm": ALGORITHM}
    return write_dicom_map(path, case.probability, case.place, **(known | changes))


def contours(path: Path, case: Case, **changes: Any) -> Path | None:
    known = OPTIONS | {"window": (-100, 300)}
    return write_dicom_contours(path, case.label, case.place, **(known | changes))


def preview(path: Path, case: Case, **changes: Any) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (10, 13, 3), dtype=np.uint8)
    return write_dicom_preview(path, picture, case.headers[0], **({"algorithm": ALGORITHM} | changes))


OBJECTS: dict[str, Callable[..., Path | None]] = {
    "seg": seg,
    "sr": sr,
    "probability": probability,
    "contours": contours,
    "preview": preview,
}
"""Their writers by name: path, case, and changes of the options."""


def measured(path: Path) -> dict[str, dict[str, float]]:
    """Numbers of a structured report, by group and name."""
    content = hd.sr.srread(path).content
    groups = [
        *content.get_volumetric_roi_measurement_groups(),
        *content.get_planar_roi_measurement_groups(),
        *content.get_image_measurement_groups(),
    ]
    return {
        group.tracking_identifier: {item.name.meaning: item.value for item in group.get_measurements()}
        for group in groups
    }
