# SPDX-License-Identifier: Apache-2.0
"""The options of the commands that segment, and what they make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from monai_semigan.cli.options import device, dicom_results, modality, option, repairs, series_rules, together

if TYPE_CHECKING:
    from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = ["chosen_options", "segmenting"]

PROBABILITIES = frozenset({"probability", "dicom-probability"})
"""Formats of what ``--probability`` computes."""

segmenting = together(
    click.option(
        "--steps", type=click.IntRange(0, 10_000), help="Inversion steps; 0: encoder alone. [default: the bundle's]"
    ),
    click.option(
        "--compute-dtype",
        type=click.Choice(["float32", "bfloat16", "auto"]),
        help="Of the inversion; auto: bfloat16 where it is fast. The result is float32. [default: the bundle's]",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1, 1024),
        help="Images or slices at once.  [default: 4 images; slices: the bundle's]",
    ),
    click.option(
        "--deterministic",
        is_flag=True,
        help="One image or slice at a time on one thread: the same label whatever the batch size and the threads. "
        "Slower.",
    ),
    option(
        "Output",
        "--format",
        "formats",
        multiple=True,
        metavar="NAME",
        help="What is written: png, overlay, reconstruction, nifti, mha, nrrd, montage, viewer, probability, "
        "dicom-seg, dicom-sr, dicom-probability, dicom-contours, dicom-preview. Repeatable.  [default: what is usual "
        "for the source]",
    ),
    option(
        "Output",
        "--viewer/--no-viewer",
        default=True,
        show_default=True,
        help="Write viewer.html, a page to look through the case, with a copy of the image.",
    ),
    click.option(
        "--refuse-ood",
        is_flag=True,
        help="Write no label for what is unlike the images that the bundle was made for. [default: a warning]",
    ),
    modality,
    series_rules,
    repairs,
    option("Volumes", "--probability", is_flag=True, help="Also write probability.nii.gz."),
    option(
        "Volumes",
        "--max-memory",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GIB",
        help="Refuse a volume whose estimated peak of memory is above.",
    ),
    dicom_results,
    device,
)
"""How a bundle segments and what is written."""


def chosen_options(settings: dict[str, Any]) -> SegmentOptions:
    """Build what a command was asked for from the values of `segmenting`, and of ``identify`` and ``overwrite``."""
    from monai_semigan.io.dicom.repair import RepairOptions
    from monai_semigan.io.dicom.rules import SeriesRules
    from monai_semigan.segmentation.segmenter import SegmenterOptions
    from monai_semigan.workflows.segmenting import SegmentOptions
    from monai_semigan.writers.dicom_options import DicomOptions

    def some(*names: str) -> dict[str, Any]:
        return {name: settings[name] for name in names}

    also = (*settings["also"], *(["dicom-preview"] if settings["preview"] else []))
    return SegmentOptions(
        segmenter=SegmenterOptions(
            **some("steps", "compute_dtype", "batch_size", "deterministic", "modality"),
            with_probability=settings["probability"] or not PROBABILITIES.isdisjoint({*settings["formats"], *also}),
            max_memory_gib=settings["max_memory"],
        ),
        device=settings["device"],
        formats=settings["formats"] or None,
        extra_formats=tuple(dict.fromkeys(also)),
        left_out=tuple(name for name in ("dicom-seg", "viewer") if not settings[name.replace("-", "_")]),
        dicom=DicomOptions(
            kind=settings["seg_type"],
            terminology=settings["terminology"],
            empty=settings["empty_seg"],
            of_unlike=settings["unlike_seg"],
        ),
        rules=SeriesRules(**some("description", "min_slices", "plane")),
        repairs=RepairOptions(**some("fill_missing", "tilt")),
        **some("refuse_ood", *({"identify", "overwrite"} & settings.keys())),
    )
