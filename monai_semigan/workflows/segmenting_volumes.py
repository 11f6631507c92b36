# SPDX-License-Identifier: Apache-2.0
"""Segment volumes with a bundle: DICOM series, NIfTI, MHA, NRRD or zips in, one folder per case and a report out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from monai_semigan.atomic import remove_stale, scratch_folder
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.errors import BundleError, ConfigError, GeometryError, InputError
from monai_semigan.evaluation.volume_numbers import class_volumes_ml
from monai_semigan.files import make_folder
from monai_semigan.geometry.orientation import axcodes
from monai_semigan.io.dicom.identity import Identity
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.label_volume import write_nifti_label, write_nifti_probability
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import VolumeCandidate, iter_volumes, safe_name
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.pictures.montage import slice_montage
from monai_semigan.pictures.overlay import encode_png
from monai_semigan.report.segmentation_report import SegmentationReport
from monai_semigan.segmentation.whole_volume import PROBABILITY_LEVELS, VolumeResult, peak_memory_gib, segment_volume
from monai_semigan.transforms.ct_window import check_hu
from monai_semigan.transforms.modality import guess_modality
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.cases import (
    CASE_SCHEMA,
    CaseInput,
    CaseQueue,
    Recipe,
    case_faults,
    require_apart,
    write_case,
)
from monai_semigan.workflows.dicom_results import DicomOptions, Writers, volume_results
from monai_semigan.workflows.segmenting import finish_report
from monai_semigan.workflows.settings import choose_device, choose_inversion
from monai_semigan.workflows.trust import expected_by_class, trust_warnings

__all__ = ["VolumeOptions", "segment_volumes"]

VOLUME_PICTURES = ("label.nii.gz", "montage.png")


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
        batch_size: Slices at once; None for the bundle's number.
        identify: Say in ``case.json`` and report whom a DICOM series is of, and name its case after the PatientID.
    """

    modality: str = "auto"
    rules: SeriesRules = field(default_factory=SeriesRules)
    repairs: RepairOptions = NO_REPAIRS
    with_probability: bool = False
    dicom: DicomOptions = field(default_factory=DicomOptions)
    max_memory_gib: float | None = None
    batch_size: int | None = None
    identify: bool = False


@dataclass(frozen=True, kw_only=True)
class _Case:
    name: str
    sha256: str
    candidate: VolumeCandidate
    volume: SourceVolume
    modality: str
    modality_reason: str
    identity: Identity | None
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

    Cases are named after files and folders. Finished cases are skipped or made again, failed ones listed, as for
    images. Zips are unpacked into a hidden folder in the output, one at a time.

    Args:
        inputs: NIfTI, MHA and NRRD files, DICOM files, zips, and folders of them; the output folder inside one is left
            out.
        bundle: A shipped bundle's name, or a bundle folder.
        output: Folder for the results.
        steps: Steps of the inversion; None for the bundle's number, 0 for the encoder alone.
        compute_dtype: Of the inversion's feature maps: ``float32``, ``bfloat16`` or ``auto``; None for the bundle's.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Seed of the global random state; nothing is drawn today.
        overwrite: Segment finished cases again.
        options: What is particular to volumes.
        progress: Called with slices done and in all, of the volume in work.
        say: Called with a line of text per volume before it is read, its name, size and estimated memory; and for one
            that is made again.

    Raises:
        InputError: An input does not exist, or there is no volume.
        BundleError: The bundle is incomplete, altered, not to be trusted, or not for volumes.
        ConfigError: The output folder is an input, or an option is unknown.
        OutputError: The results cannot be written.
    """
    options = options or VolumeOptions()
    require_apart(inputs, output)
    opened = _opened(bundle, options, steps, compute_dtype)
    run = _Run(opened, options, seed, choose_device(device), say=say, progress=progress)
    folder = make_folder(output)
    remove_stale(folder)
    torch.manual_seed(seed)
    queue: CaseQueue[_Case] = CaseQueue(folder, run.recipe, overwrite=overwrite, say=say)
    with scratch_folder(folder, "unpacked") as unpacked:
        candidates = iter_volumes(
            inputs,
            on_failure=queue.fail,
            rules=options.rules,
            repairs=options.repairs,
            unpack_to=unpacked,
            skip=folder,
        )
        for case in queue.cases(map(run.case_input, candidates)):
            try:
                with case_faults():
                    run.write(case, folder)
            except (InputError, GeometryError) as error:
                queue.drop(case.name, error)
            else:
                queue.advance()
            del case  # before the next volume is read
    settings = {
        "steps": steps,
        "compute_dtype": compute_dtype,
        "seed": seed,
        "device": device,
        "modality": options.modality,
    }
    return finish_report(folder, run.bundle, queue, settings)


def _opened(bundle: PathLike, options: VolumeOptions, steps: int | None, compute_dtype: ComputeDtype | None) -> Bundle:
    """Open the bundle for these options; the steps go into its chains."""
    opened = open_bundle(bundle)
    if not opened.takes_volumes:
        raise BundleError(f"`bundle` must be for volumes, but `{opened.name}` is for images.")
    modalities = tuple(opened.chains)
    if options.modality != "auto" and options.modality not in modalities:
        raise ConfigError(f"`modality` must be auto or one of {', '.join(modalities)}, got {options.modality!r}.")
    chains = {
        name: replace(chain, inversion=choose_inversion(chain.inversion, steps=steps, compute_dtype=compute_dtype))
        for name, chain in opened.chains.items()
    }
    size = opened.slicewise.batch_size if options.batch_size is None else options.batch_size
    return replace(opened, chains=chains, slicewise=replace(opened.slicewise, batch_size=size))


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
    """What all volumes of a call share, and how each is worked through."""

    def __init__(
        self,
        bundle: Bundle,
        options: VolumeOptions,
        seed: int,
        device: torch.device,
        *,
        say: Callable[[str], None] | None,
        progress: Progress | None,
    ) -> None:
        self.bundle, self.options, self.seed = bundle, options, seed
        self.say, self.progress = say, progress
        self.network = load_network(bundle, device=device)
        request = {
            "inversion": {name: asdict(chain.inversion) for name, chain in bundle.chains.items()},
            "seed": seed,
            "modality": options.modality,
            "repairs": asdict(options.repairs),
            "probability": options.with_probability,
            "dicom": asdict(options.dicom),
            "identify": options.identify,
        }
        self.recipe = Recipe(bundle_digest=bundle.digest, request=request, pictures=self._needed())

    def _needed(self) -> tuple[str, ...]:
        return (*VOLUME_PICTURES, "probability.nii.gz") if self.options.with_probability else VOLUME_PICTURES

    def case_input(self, candidate: VolumeCandidate) -> CaseInput[_Case]:
        """Describe a volume before it is read."""
        identity = candidate.identity() if self.options.identify else None
        named = identity is not None and identity.patient_id

        def read(name: str, sha256: str) -> _Case:
            started = time.perf_counter()
            self._check_memory_before(name, candidate)
            volume = candidate.load()
            modality, reason = _modality(volume, self.bundle, self.options.modality)
            if modality == "CT":
                remarks = check_hu(volume.voxels, window=self.bundle.chains["CT"].preset.window_of(volume.voxels))
                volume = replace(volume, warnings=(*volume.warnings, *remarks))
            self._require_memory(self._peak_gib(volume.grid.shape, volume.voxels.itemsize, modality))
            return _Case(
                name=name,
                sha256=sha256,
                candidate=candidate,
                volume=volume,
                modality=modality,
                modality_reason=reason,
                identity=identity,
                seconds={"read": time.perf_counter() - started},
            )

        return CaseInput(
            source=candidate.name,
            stem=safe_name(identity.patient_id) if identity is not None and named else candidate.name,
            digest=candidate.digest,
            read=read,
        )

    def _check_memory_before(self, name: str, candidate: VolumeCandidate) -> None:
        """Say what the volume will need, and refuse it by its header if that is too much in any case."""
        size = candidate.size()
        if size is None:  # reading it says what is wrong
            return
        shape, itemsize = size
        tagged = candidate.series.modality if candidate.series is not None else None
        wanted = tagged if self.options.modality == "auto" else self.options.modality
        chains = [wanted] if wanted is not None and wanted in self.bundle.chains else list(self.bundle.chains)
        peak = min(self._peak_gib(shape, itemsize, chain) for chain in chains)
        if self.say is not None:
            self.say(f"{name}: {' x '.join(map(str, shape))} voxels, about {peak:.1f} GiB of memory")
        self._require_memory(peak)

    def _peak_gib(self, shape: tuple[int, int, int], itemsize: int, modality: str) -> float:
        return peak_memory_gib(
            shape,
            itemsize,
            self.network,
            self.bundle.slicewise,
            with_probability=self.options.with_probability,
            corrects_bias=self.bundle.chains[modality].preset.corrects_bias,
            has_rules=bool(self.bundle.components.by_class),
        )

    def _require_memory(self, peak: float) -> None:
        limit = self.options.max_memory_gib
        if limit is not None and peak > limit:
            raise InputError(
                f"The volume must fit into {limit:g} GiB, but needs about {peak:.1f} GiB. "
                "Raise --max-memory, lower --batch-size, or crop the volume."
            )

    def write(self, case: _Case, folder: Path) -> None:
        """Segment a volume and write its case."""
        content, numbers, extras = self._case_files(case)
        write_case(folder / case.name, content, numbers, extras=extras)

    def _case_files(self, case: _Case) -> tuple[dict[str, Any], dict[str, Any], Writers]:
        """Return a case's files by name, its numbers, and its DICOM objects."""
        volume, options, started = case.volume, self.options, time.perf_counter()
        chain = self.bundle.chains[case.modality]
        result = segment_volume(
            volume.voxels,
            volume.grid,
            self.network,
            chain.preset,
            inversion=chain.inversion,
            slicewise=self.bundle.slicewise,
            with_probability=options.with_probability,
            progress=self.progress,
        )
        label = self.bundle.components.apply(result.label)
        seconds = {**case.seconds, "network": time.perf_counter() - started}
        picture = self._picture(volume, label, result.window)
        content: dict[str, Any] = {
            "label.nii.gz": partial(write_nifti_label, label=label, volume=volume),
            "montage.png": encode_png(picture),
        }
        if result.probability is not None:
            probability = result.probability.astype(np.float32) / PROBABILITY_LEVELS
            content["probability.nii.gz"] = partial(write_nifti_probability, probability=probability, volume=volume)
        extras = volume_results(label, volume, self.bundle, options.dicom, np.asarray(picture))
        seconds["label and pictures"] = time.perf_counter() - started - seconds["network"]
        return content, self._numbers(case, result, label, seconds), extras

    def _picture(self, volume: SourceVolume, label: np.ndarray, window: tuple[float, float]) -> Image.Image:
        return slice_montage(
            volume.voxels,
            label,
            volume.grid,
            window=window,
            colors=self.bundle.colors,
            class_names=self.bundle.class_names,
        )

    def _numbers(
        self, case: _Case, result: VolumeResult, label: np.ndarray, seconds: dict[str, float]
    ) -> dict[str, Any]:
        bundle, slices, grid = self.bundle, result.slices, case.volume.grid
        series = case.candidate.series
        names = bundle.class_names[1:]
        volumes = dict(zip(names, class_volumes_ml(label, grid, len(names) + 1)[1:], strict=True))
        whole_ml = grid.voxel_volume_ml * label.size
        # Without any organ, all slices say whether the volume is one that the bundle was made for.
        counted = slices.has_organ if slices.has_organ.any() else ~slices.is_empty
        errors = [_mean(error[counted]) for error in (slices.image_error, slices.encoder_image_error)]
        found = {name: volume > 0 for name, volume in volumes.items()}
        expected = expected_by_class(torch.from_numpy(slices.overlap.sum(axis=0)), found)
        warnings = trust_warnings(
            bundle.chains[case.modality], found=found, image_error=errors[1], expected_dice=expected
        )
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
            "identity": asdict(case.identity) if case.identity is not None else None,
            "bundle": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
            "versions": environment(),
            "settings": {
                **asdict(bundle.chains[case.modality].inversion),
                **asdict(bundle.slicewise),
                "seed": self.seed,
            },
            "request": dict(self.recipe.request),
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
            "expected_dice": expected,
            "image_error": errors[0],
            "encoder_image_error": errors[1],
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "warnings": [*case.volume.warnings, *warnings],
        }


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None
