"""Records of cases that the report tests share."""

from __future__ import annotations

from typing import Any

from monai_semigan.segmentation.record import (
    BundleRecord,
    CaseRecord,
    ClassRecord,
    ReconstructionRecord,
    SlicesRecord,
    SourceRecord,
)

SHA = "ab" * 32
BUNDLE = BundleRecord(name="lungs <1>", version="2", digest=SHA)


def image_record(case: str = "a", **changes: Any) -> CaseRecord:
    values = {
        "kind": "image",
        "case": case,
        "source": SourceRecord(name="a.png", format="png", sha256=SHA),
        "bundle": BUNDLE,
        "versions": {"torch": "9.9"},
        "request": {"steps": 7},
        "size": (300, 200),
        "spacing_mm": (0.8, 0.5),
        "classes": (ClassRecord(name="lung", share=0.25, area_mm2=31_400.0, expected_dice=0.912, color=(9, 8, 7)),),
        "reconstruction": ReconstructionRecord(measure="mean_squared", encoder=0.0456, refined=0.0123, limit=0.05),
        "steps_taken": 7,
        "trace": (0.5, 0.4, 0.35),
        "seconds": {"read": 0.5, "network": 1.25},
        "files": {"overlay.png": SHA, "label.png": SHA},
    }
    return CaseRecord(**(values | changes))


def volume_record(case: str = "v", **changes: Any) -> CaseRecord:
    values = {
        "kind": "volume",
        "source": SourceRecord(name="series", format="dicom", sha256=SHA, series_sha256=SHA, num_files=30),
        "size": (512, 500, 30),
        "spacing_mm": (0.7, 0.8, 5.0),
        "axcodes": ("L", "P", "S"),
        "modality": "CT",
        "modality_reason": "DICOM tag",
        "window": (-140.0, 260.0),
        "classes": (ClassRecord(name="liver", share=0.1, volume_ml=1450.52, expected_dice=0.95),),
        "reconstruction": ReconstructionRecord(measure="local_correlation", encoder=0.41, refined=0.38, limit=0.7),
        "slices": SlicesRecord(total=30, empty=2, refined=18, with_label=17),
        "steps_taken": None,
        "trace": (),
        "files": {"label.nii.gz": SHA},
    }
    return image_record(case, **(values | changes))
