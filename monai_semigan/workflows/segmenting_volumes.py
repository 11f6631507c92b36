# SPDX-License-Identifier: Apache-2.0
"""Segment volumes with a bundle: DICOM series, NIfTI, MHA, NRRD or zips in, one folder per case and a report out."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from monai_semigan.errors import BundleError, ConfigError, GeometryError, InputError
from monai_semigan.evaluation.volume_numbers import class_volumes_ml
from monai_semigan.geometry.orientation import axcodes
from monai_semigan.inference.bundle import Bundle, Chain, load_network, open_bundle
from monai_semigan.inference.slicewise import SlicewiseSettings
from monai_semigan.inference.volume import PROBABILITY_LEVELS, VolumeResult, peak_memory_gib, segment_volume
from monai_semigan.io.dicom_repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.label_volume import write_nifti_label, write_nifti_probability
from monai_semigan.io.series_rules import SeriesRules
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import VolumeCandidate, find_volumes
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.report.files import make_folder
from monai_semigan.report.montage import slice_montage
from monai_semigan.report.overlay import encode_png
from monai_semigan.report.segmentation_report import SegmentationReport
from monai_semigan.transforms.ct_window import check_hu
from monai_semigan.transforms.modality import guess_modality
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.cases import CASE_SCHEMA, CaseInput, CaseQueue, write_case
from monai_semigan.workflows.dicom_results import DicomOptions, volume_results
from monai_semigan.workflows.segmenting import finish_report
from monai_semigan.workflows.settings import choose_device, choose_inversion

__all__ = ["VolumeOptions", "segment_volumes"]

DIGEST_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class VolumeOptions:
    """What is particular to volumes.

    Attributes:
        modality: ``auto``, or one that the bundle accepts (``CT``, ``MR``).
        rules: Which DICOM series are taken.
        repairs: What may be done to irregular DICOM series.
        with_probability: Also write ``probability.nii.gz``.
        dicom: Which DICOM objects to write for DICOM sources.
        max_memory_gib: Refuse volumes whose estimated peak is above; None for no limit.
        batch_size: Slices at once.
    """

    modality: str = "auto"
    rules: SeriesRules = field(default_factory=SeriesRules)
    repairs: RepairOptions = NO_REPAIRS
    with_probability: bool = False
    dicom: DicomOptions = field(default_factory=DicomOptions)
    max_memory_gib: float | None = None
    batch_size: int = 16


@dataclass(frozen=True, kw_only=True)
class _Case:
    name: str
    sha256: str
    candidate: VolumeCandidate
    volume: SourceVolume
    modality: str
    modality_reason: str
    seconds: dict[str, float]


def segment_volumes(
    inputs: Sequence[PathLike],
    *,
    bundle: PathLike,
    output: PathLike,
    steps: int | None = None,
    compute_dtype: ComputeDtype | None = None,
    device: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    options: VolumeOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> SegmentationReport:
    """Segment volumes: a folder per case with ``label.nii.gz``, ``montage.png`` and ``case.json``, and a report.

    Cases are named after files and folders. Finished cases are skipped, failed ones listed, as for images.

    Args:
        inputs: NIfTI, MHA and NRRD files, DICOM files, zips, and folders of them.
        bundle: A shipped bundle's name, or a bundle folder.
        output: Folder for the results.
        steps: Steps of the inversion; None for the bundle's number, 0 for the encoder alone.
        compute_dtype: Of the inversion's feature maps: ``float32``, ``bfloat16`` or ``auto``; None for the bundle's.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Seed of the global random state; nothing is drawn today.
        overwrite: Segment finished cases again.
        options: What is particular to volumes.
        progress: Called with slices done and in all, of the volume in work.
        say: Called with a line of text per volume before work on it starts: its name, slices, estimated memory.

    Raises:
        InputError: An input does not exist, or there is no volume.
        BundleError: The bundle is incomplete, altered, not to be trusted, or not for volumes.
        OutputError: The results cannot be written.
    """
    options = options or VolumeOptions()
    opened = open_bundle(bundle)
    if not opened.takes_volumes:
        raise BundleError(f"`bundle` must be for volumes, but `{opened.name}` is for images.")
    modalities = tuple(opened.chains)
    if options.modality != "auto" and options.modality not in modalities:
        raise ConfigError(f"`modality` must be auto or one of {', '.join(modalities)}, got {options.modality!r}.")
    network = load_network(opened, device=choose_device(device))
    folder = make_folder(output)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=folder) as unpacked:
        candidates = find_volumes(inputs, rules=options.rules, repairs=options.repairs, unpack_to=unpacked)
        queue: CaseQueue[_Case] = CaseQueue(folder, len(candidates), overwrite=overwrite)
        for case in queue.cases([_case_input(candidate, opened, options) for candidate in candidates]):
            chain = opened.chains[case.modality]
            inversion = choose_inversion(chain.inversion, steps=steps, compute_dtype=compute_dtype)
            try:
                run = _Run(case, opened, replace(chain, inversion=inversion), network, options, seed)
                write_case(folder / case.name, run.content(progress, say))
            except (InputError, GeometryError, MemoryError) as error:
                queue.names.remove(case.name)
                queue.fail(case.name, error)
                continue
            queue.advance()
    settings = {
        "steps": steps,
        "compute_dtype": compute_dtype,
        "seed": seed,
        "device": device,
        "modality": options.modality,
    }
    return finish_report(folder, opened, queue, settings)


def _case_input(candidate: VolumeCandidate, bundle: Bundle, options: VolumeOptions) -> CaseInput[_Case]:
    def read(name: str, sha256: str) -> _Case:
        started = time.perf_counter()
        volume = candidate.load()
        modality, reason = _modality(volume, bundle, options.modality)
        if modality == "CT":
            check_hu(volume.voxels)
        seconds = {"read": time.perf_counter() - started}
        return _Case(
            name=name,
            sha256=sha256,
            candidate=candidate,
            volume=volume,
            modality=modality,
            modality_reason=reason,
            seconds=seconds,
        )

    return CaseInput(source=candidate.name, stem=candidate.name, digest=lambda: _digest(candidate), read=read)


def _modality(volume: SourceVolume, bundle: Bundle, wanted: str) -> tuple[str, str]:
    """Choose the chain: what was asked for, the DICOM tag, or what the intensities look like."""
    if wanted != "auto":
        return wanted, "as asked for"
    if volume.modality is not None:
        modality, reason = volume.modality, "DICOM tag (0008,0060)"
    else:
        guess = guess_modality(volume.voxels)
        modality, reason = guess.modality, guess.reason
    if modality not in bundle.chains:
        raise InputError(
            f"The volume must be {' or '.join(bundle.chains)} for this bundle, got {modality} ({reason}). "
            "If that is wrong, pass --modality."
        )
    return modality, reason


class _Run:
    """One case through the network, and what is written of it."""

    def __init__(
        self,
        case: _Case,
        bundle: Bundle,
        chain: Chain,
        network: SemiGanSegmenter,
        options: VolumeOptions,
        seed: int,
    ) -> None:
        self.case, self.bundle, self.chain, self.network = case, bundle, chain, network
        self.options, self.seed = options, seed
        self.slicewise: SlicewiseSettings = replace(bundle.slicewise, batch_size=options.batch_size)

    def content(self, progress: Progress | None, say: Callable[[str], None] | None) -> dict[str, Any]:
        volume, options, started = self.case.volume, self.options, time.perf_counter()
        self._check_memory(say)
        result = segment_volume(
            volume.voxels,
            volume.grid,
            self.network,
            self.chain.preset,
            inversion=self.chain.inversion,
            slicewise=self.slicewise,
            with_probability=options.with_probability,
            progress=progress,
        )
        label = self.bundle.components.apply(result.label)
        seconds = {**self.case.seconds, "network": time.perf_counter() - started}
        picture = self._picture(label)
        content: dict[str, Any] = {
            "label.nii.gz": partial(write_nifti_label, label=label, volume=volume),
            "montage.png": encode_png(picture),
        }
        if result.probability is not None:
            probability = result.probability.astype(np.float32) / PROBABILITY_LEVELS
            content["probability.nii.gz"] = partial(write_nifti_probability, probability=probability, volume=volume)
        written, remarks = volume_results(label, volume, self.bundle, options.dicom, np.asarray(picture))
        content |= written
        seconds["label and pictures"] = time.perf_counter() - started - seconds["network"]
        content["case.json"] = self._numbers(result, label, seconds, remarks)
        return content

    def _picture(self, label: np.ndarray) -> Image.Image:
        volume = self.case.volume
        window = self.chain.preset.window_of(volume.voxels.transpose(2, 1, 0))
        return slice_montage(
            volume.voxels,
            label,
            volume.grid,
            window=window,
            colors=self.bundle.colors,
            class_names=self.bundle.class_names,
        )

    def _check_memory(self, say: Callable[[str], None] | None) -> None:
        volume = self.case.volume
        peak = peak_memory_gib(volume.grid.shape, volume.voxels.itemsize, self.network, self.slicewise)
        if say is not None:
            shape = " x ".join(map(str, volume.grid.shape))
            say(f"{self.case.name}: {shape} voxels, {self.case.modality}, about {peak:.1f} GiB of memory")
        limit = self.options.max_memory_gib
        if limit is not None and peak > limit:
            raise InputError(
                f"The volume must fit into {limit:g} GiB, but needs about {peak:.1f} GiB. "
                "Raise --max-memory, lower --batch-size, or crop the volume."
            )

    def _numbers(
        self, result: VolumeResult, label: np.ndarray, seconds: dict[str, float], remarks: list[str]
    ) -> dict[str, Any]:
        case, bundle, slices, grid = self.case, self.bundle, result.slices, self.case.volume.grid
        series = case.candidate.series
        names = bundle.class_names[1:]
        volumes = dict(zip(names, class_volumes_ml(label, grid, len(names) + 1)[1:], strict=True))
        whole_ml = grid.voxel_volume_ml * label.size
        # Without any organ, all slices say whether the volume is one that the bundle was made for.
        counted = slices.has_organ if slices.has_organ.any() else ~slices.is_empty
        errors = [_mean(error[counted]) for error in (slices.image_error, slices.encoder_image_error)]
        return {
            "schema": CASE_SCHEMA,
            "case": case.name,
            "source": {
                "name": case.candidate.name,
                "kind": case.candidate.kind,
                "sha256": case.sha256,
                **({"series_sha256": hashlib.sha256(series.series_uid.encode()).hexdigest()} if series else {}),
                "num_files": len(case.candidate.files),
            },
            "bundle": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
            "versions": environment(),
            "settings": {**asdict(self.chain.inversion), **asdict(self.slicewise), "seed": self.seed},
            "modality": case.modality,
            "modality_reason": case.modality_reason,
            "size_px": list(grid.shape),
            "spacing_mm": [round(spacing, 6) for spacing in grid.spacing_mm],
            "axcodes": list(axcodes(grid.affine)),
            "class_names": list(bundle.class_names),
            "class_shares": {name: volume / whole_ml for name, volume in volumes.items()},
            "class_volumes_ml": volumes,
            "slices": {
                "axial": len(slices.is_empty),
                "empty": int(slices.is_empty.sum()),
                "refined": int(slices.is_refined.sum()),
                "with_organ": int(slices.has_organ.sum()),
            },
            "image_error": errors[0],
            "encoder_image_error": errors[1],
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "warnings": [*case.volume.warnings, *remarks, *_warnings(volumes, errors[1], self.chain.max_image_error)],
        }


def _warnings(volumes: dict[str, float], image_error: float | None, max_image_error: float) -> list[str]:
    warnings = [f"No {name} was found." for name, volume in volumes.items() if volume == 0]
    if image_error is not None and image_error > max_image_error:
        warnings.append(
            "Unlike the images this bundle was made for: do not trust the label "
            f"(reconstruction error {image_error:.3f}, usual up to {max_image_error:.3f})."
        )
    return warnings


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None


def _digest(candidate: VolumeCandidate) -> str:
    """SHA-256 over the files' contents, in the candidate's order."""
    digest = hashlib.sha256()
    try:
        for path in candidate.files:
            with path.open("rb") as stream:
                while chunk := stream.read(DIGEST_CHUNK):
                    digest.update(chunk)
    except OSError as error:
        raise InputError(f"`{candidate.name}` must be readable: {error.strerror}.") from error
    return digest.hexdigest()
