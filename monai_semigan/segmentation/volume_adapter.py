# SPDX-License-Identifier: Apache-2.0
"""A volume in memory to its label: which chain, whether it fits into memory, and what its record says."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch

from monai_semigan.errors import InputError
from monai_semigan.geometry.orientation import axcodes
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.loaded_bundle import LoadedBundle, ood_record
from monai_semigan.segmentation.record import CaseRecord, SlicesRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.whole_volume import PROBABILITY_LEVELS, peak_memory_gib, segment_volume
from monai_semigan.types import Progress

__all__ = ["choose_modality", "expected_peak_gib", "require_memory", "segment_volume_source"]


def expected_peak_gib(
    loaded: LoadedBundle, shape: tuple[int, int, int], itemsize: int, modality: str | None = None
) -> float:
    """Estimate roughly the peak of the process's memory for a volume, GiB.

    Args:
        loaded: A bundle for volumes.
        shape: Of the volume.
        itemsize: Bytes of a voxel as it is held.
        modality: None where it is not known yet: the least of all.
    """
    chains = [loaded.chains[modality]] if modality in loaded.chains else list(loaded.chains.values())
    return min(
        peak_memory_gib(
            shape,
            itemsize,
            loaded.network,
            loaded.slicewise,
            with_probability=loaded.options.with_probability,
            corrects_bias=chain.stack_preset.corrects_bias,
            has_rules=bool(loaded.components.by_class),
        )
        for chain in chains
    )


def require_memory(loaded: LoadedBundle, peak_gib: float) -> None:
    """Refuse a volume whose estimated peak is above the limit.

    Raises:
        InputError: It is.
    """
    limit = loaded.options.max_memory_gib
    if limit is not None and peak_gib > limit:
        raise InputError(
            f"The volume must fit into {limit:g} GiB, but needs about {peak_gib:.1f} GiB. "
            "Raise --max-memory, lower --batch-size, or crop the volume."
        )


def choose_modality(loaded: LoadedBundle, volume: SourceVolume) -> tuple[str, str]:
    """Return the chain for a volume and the reason: what was asked for, the DICOM tag, or the intensities.

    Raises:
        InputError: It is none of the bundle's.
    """
    wanted = loaded.options.modality
    if wanted != "auto":
        return wanted, "as asked for"
    if volume.modality is not None:
        modality, reason = volume.modality, "DICOM tag (0008,0060)"
    else:
        guess = loaded.domain.modality_of(volume.voxels)
        modality, reason = guess.modality, guess.reason
    if modality not in loaded.chains:
        raise InputError(
            f"The volume must be {' or '.join(loaded.chains)} for this bundle, got {modality} ({reason}). "
            "If that is wrong, pass --modality."
        )
    return modality, reason


def segment_volume_source(loaded: LoadedBundle, source: Source, progress: Progress | None) -> Segmentation:
    """Segment one volume.

    Args:
        loaded: A bundle for volumes.
        source: Of a volume.
        progress: Called with slices done and in all.

    Raises:
        InputError: It is of no modality of the bundle, needs more memory than is allowed, or cannot be prepared.
    """
    started, volume = time.perf_counter(), source.data
    assert isinstance(volume, SourceVolume)
    modality, reason = choose_modality(loaded, volume)
    chain = loaded.chains[modality]
    remarks = chain.stack_preset.check_values(volume.voxels)
    source = replace(source, data=replace(volume, warnings=(*volume.warnings, *remarks)))
    require_memory(loaded, expected_peak_gib(loaded, volume.grid.shape, volume.voxels.itemsize, modality))
    result = segment_volume(
        volume.voxels,
        volume.grid,
        loaded.inversions[modality],
        chain.stack_preset,
        loaded.slicewise,
        with_probability=loaded.options.with_probability,
        reference=chain.ood,
        progress=progress,
    )
    was_segmented = time.perf_counter()
    label, slices = loaded.components.apply(result.label), result.slices
    overlap = torch.from_numpy(slices.overlap.sum(axis=0))
    classes = loaded.class_records(label, result.label, overlap, chain, volume_ml=volume.grid.voxel_volume_ml)
    # Without any organ, all slices say whether the volume is one that the bundle was made for.
    counted = slices.has_label if slices.has_label.any() else ~slices.is_empty
    ood = ood_record(chain, slices.ood, counted)
    errors = (slices.encoder_image_error[counted], slices.image_error[counted])
    record = CaseRecord(
        kind="volume",
        **loaded.record_fields(source, chain, classes, errors, ood),
        size=volume.grid.shape,
        spacing_mm=tuple(round(float(spacing), 6) for spacing in volume.grid.spacing_mm),
        axcodes=axcodes(volume.grid.affine),  # type: ignore[arg-type]  # letters of these six
        modality=modality,
        modality_reason=reason,
        window=(float(result.window[0]), float(result.window[1])),
        slices=SlicesRecord(
            total=len(slices.is_empty),
            empty=int(slices.is_empty.sum()),
            refined=int(slices.is_refined.sum()),
            with_label=int(slices.has_label.sum()),
        ),
        seconds={
            **source.seconds,
            "network": was_segmented - started,
            "label": time.perf_counter() - was_segmented,
        },
    )
    probability = result.probability
    return Segmentation(
        source=source,
        label=label,
        record=record,
        model=loaded.model,
        probability=None if probability is None else probability.astype(np.float32) / PROBABILITY_LEVELS,
        window=result.window,
    )
