# SPDX-License-Identifier: Apache-2.0
"""Semi-supervised medical image segmentation with a joint image-and-label StyleGAN2, as a MONAI plugin.

.. code-block:: python

    import monai_semigan as semigan

    model = semigan.load_bundle("lung_cxr_segmentation").segmenter()
    result = model.segment(semigan.read("xray.dcm"))
    result.label, result.expected_dice, result.warnings
    result.save("out/xray", formats=("png", "dicom-seg"))

The same as files to files, and all other tasks, are functions too; the command line is ``semigan``. Names are imported
on first use, so that this package stays quick to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_semigan.bundle.bundle import open_bundle as load_bundle
    from monai_semigan.bundles import list_bundles
    from monai_semigan.cohort.running import CohortOptions, run_cohort
    from monai_semigan.evaluation.case import score_label as evaluate
    from monai_semigan.segmentation.outputs import Output, register_output
    from monai_semigan.segmentation.segmenter import SegmenterOptions
    from monai_semigan.workflows.adapting import AdaptOptions, adapt
    from monai_semigan.workflows.comparing import CompareOptions, compare
    from monai_semigan.workflows.converting import convert
    from monai_semigan.workflows.evaluating import evaluate as evaluate_files
    from monai_semigan.workflows.explaining import ExplanationOptions, explain
    from monai_semigan.workflows.fit_stages import FitOptions
    from monai_semigan.workflows.fitting import fit
    from monai_semigan.workflows.interpolating import InterpolationOptions, interpolate
    from monai_semigan.workflows.listing import DatalistOptions, make_datalist
    from monai_semigan.workflows.memory_auditing import MemoryAuditOptions, audit_memory
    from monai_semigan.workflows.packing import pack
    from monai_semigan.workflows.preparing import prepare, prepare_phantom
    from monai_semigan.workflows.reading import read
    from monai_semigan.workflows.segmenting import SegmentOptions, segment_files
    from monai_semigan.workflows.series_listing import list_series
    from monai_semigan.workflows.site_comparing import SiteOptions, compare_sites
    from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize
    from monai_semigan.workflows.train import train_encoder, train_gan
    from monai_semigan.workflows.tuning import tune

__version__ = "0.2.0"

__all__ = [
    "AdaptOptions",
    "CohortOptions",
    "CompareOptions",
    "DatalistOptions",
    "ExplanationOptions",
    "FitOptions",
    "InterpolationOptions",
    "MemoryAuditOptions",
    "Output",
    "SegmentOptions",
    "SegmenterOptions",
    "SiteOptions",
    "SynthesisOptions",
    "adapt",
    "audit_memory",
    "compare",
    "compare_sites",
    "convert",
    "evaluate",
    "evaluate_files",
    "explain",
    "fit",
    "interpolate",
    "list_bundles",
    "list_series",
    "load_bundle",
    "make_datalist",
    "pack",
    "prepare",
    "prepare_phantom",
    "read",
    "register_output",
    "run_cohort",
    "segment_files",
    "synthesize",
    "train_encoder",
    "train_gan",
    "tune",
]

_HOMES = {
    "ExplanationOptions": "workflows.explaining",
    "explain": "workflows.explaining",
    "InterpolationOptions": "workflows.interpolating",
    "interpolate": "workflows.interpolating",
    "MemoryAuditOptions": "workflows.memory_auditing",
    "audit_memory": "workflows.memory_auditing",
    "SiteOptions": "workflows.site_comparing",
    "compare_sites": "workflows.site_comparing",
    "AdaptOptions": "workflows.adapting",
    "CohortOptions": "cohort.running",
    "CompareOptions": "workflows.comparing",
    "FitOptions": "workflows.fit_stages",
    "DatalistOptions": "workflows.listing",
    "Output": "segmentation.outputs",
    "SegmentOptions": "workflows.segmenting",
    "SegmenterOptions": "segmentation.segmenter",
    "SynthesisOptions": "workflows.synthesizing",
    "adapt": "workflows.adapting",
    "compare": "workflows.comparing",
    "convert": "workflows.converting",
    "evaluate": "evaluation.case:score_label",
    "evaluate_files": "workflows.evaluating:evaluate",
    "fit": "workflows.fitting",
    "list_bundles": "bundles",
    "list_series": "workflows.series_listing",
    "load_bundle": "bundle.bundle:open_bundle",
    "make_datalist": "workflows.listing",
    "pack": "workflows.packing",
    "prepare": "workflows.preparing",
    "prepare_phantom": "workflows.preparing",
    "read": "workflows.reading",
    "register_output": "segmentation.outputs",
    "run_cohort": "cohort.running",
    "segment_files": "workflows.segmenting",
    "synthesize": "workflows.synthesizing",
    "train_encoder": "workflows.train",
    "train_gan": "workflows.train",
    "tune": "workflows.tuning",
}
"""Module of each name, and what it is called there if that is another name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, other = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{home}"), other or name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
