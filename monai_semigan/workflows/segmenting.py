# SPDX-License-Identifier: Apache-2.0
"""Segment images with a bundle: files in, one folder per case and a report out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from monai_semigan.atomic import remove_stale
from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.errors import GeometryError, InputError
from monai_semigan.evaluation.volume_numbers import class_areas_mm2, class_counts
from monai_semigan.files import make_folder, write_json, write_text
from monai_semigan.io.dicom.identity import Identity, read_identity
from monai_semigan.io.image_file import SourceImage, find_images, read_image, require_color, require_grey
from monai_semigan.io.label_file import write_label
from monai_semigan.io.volume_input import safe_name
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.pictures.overlay import encode_jpeg, encode_png, overlay, reconstruction_panel
from monai_semigan.report.segmentation_report import (
    CaseReport,
    SegmentationReport,
    render_segmentation_report,
)
from monai_semigan.segmentation.batch import SegmentedBatch, segment_batch
from monai_semigan.transforms.square import SquareGeometry
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
from monai_semigan.workflows.dicom_results import DicomOptions, Writers, image_results
from monai_semigan.workflows.settings import choose_device, choose_inversion
from monai_semigan.workflows.trust import expected_by_class, trust_warnings

__all__ = ["segment"]

IMAGE_PICTURES = ("label.png", "overlay.png", "reconstruction.png")


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One input on its way through."""

    name: str
    path: Path
    sha256: str
    source: SourceImage
    image: np.ndarray
    geometry: SquareGeometry
    seconds: dict[str, float]
    identity: Identity | None


def segment(
    inputs: Sequence[PathLike],
    *,
    bundle: PathLike,
    output: PathLike,
    steps: int | None = None,
    compute_dtype: ComputeDtype | None = None,
    device: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    batch_size: int = 8,
    dicom: DicomOptions | None = None,
    identify: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> SegmentationReport:
    """Segment images: a folder per case with label, overlay, reconstruction and numbers, and a report over all.

    DICOM images get a DICOM SEG as well.

    A case is named after its file's stem; a second file of the same stem gets ``-2``. A case that an earlier call
    finished for the same file with the same bundle, settings and wanted outputs is skipped, and shown in the report
    all the same; where one of these differs it is made again. An input that cannot be segmented is listed with its
    reason and does not stop the others. What killed runs left unfinished in the output folder is removed.

    Args:
        inputs: Image files (PNG, JPEG, TIFF, DICOM), or folders of them; the output folder inside one is left out.
        bundle: A shipped bundle's name, or a bundle folder.
        output: Folder for the results.
        steps: Steps of the inversion; None for the bundle's number, 0 for the encoder alone.
        compute_dtype: Of the inversion's feature maps: ``float32``, ``bfloat16`` or ``auto``; None for the bundle's.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Seed of the global random state. The inversion uses fixed noise and draws nothing: results do not depend
            on it today; it is recorded.
        overwrite: Segment finished cases again.
        batch_size: Images optimized at once.
        dicom: Which DICOM objects are written for DICOM images; None for the usual.
        identify: Say in ``case.json`` and report whom a DICOM image is of, and name its case after the PatientID.
        progress: Called with the inputs done and their number.
        say: Called with a line of text for a finished case that is made again.

    Returns:
        What ``report.json`` and ``report.html`` in ``output`` say.

    Raises:
        InputError: An input does not exist, or a folder holds no image.
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        ConfigError: The output folder is an input, or the device is unknown.
        OutputError: The results cannot be written.
    """
    require_apart(inputs, output)
    paths = find_images(inputs, skip=output)
    opened = open_bundle(bundle)
    network = load_network(opened, device=choose_device(device))
    settings = choose_inversion(opened.inversion, steps=steps, compute_dtype=compute_dtype)
    dicom = dicom or DicomOptions()
    request = {"inversion": asdict(settings), "seed": seed, "dicom": asdict(dicom), "identify": identify}
    recipe = Recipe(bundle_digest=opened.digest, request=request, pictures=IMAGE_PICTURES)
    folder = make_folder(output)
    remove_stale(folder)
    torch.manual_seed(seed)
    queue: CaseQueue[_Case] = CaseQueue(
        folder, recipe, total=len(paths), overwrite=overwrite, progress=progress, say=say
    )
    run = _Run(opened, network, settings, recipe, dicom, queue)
    cases = queue.cases(_case_input(path, opened, identify) for path in paths)
    while batch := list(islice(cases, batch_size)):
        run.finish(batch)
    return finish_report(folder, opened, queue, {**asdict(settings), "seed": seed, "device": device})


def finish_report(
    folder: Path, bundle: Bundle, queue: CaseQueue[Any], settings: Mapping[str, Any]
) -> SegmentationReport:
    """Read the finished cases back and write ``report.json`` and ``report.html`` over all inputs of a call."""
    report = SegmentationReport(
        bundle={"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        versions=environment(),
        settings=dict(settings),
        cases=tuple(_read_case(folder / name) for name in queue.names),
        failures=tuple(queue.failures),
        skipped=tuple(queue.skipped),
        redone=tuple(queue.redone),
    )
    write_json(folder / "report.json", report.to_json())
    write_text(folder / "report.html", render_segmentation_report(report))
    return report


def _case_input(path: Path, bundle: Bundle, identify: bool) -> CaseInput[_Case]:
    identity = read_identity(path) if identify else None
    return CaseInput(
        source=path.name,
        stem=safe_name(identity.patient_id if identity is not None and identity.patient_id else path.stem),
        digest=lambda: _digest(path),
        read=lambda name, sha256: _prepare(path, name, sha256, bundle, identity),
    )


def _prepare(path: Path, name: str, sha256: str, bundle: Bundle, identity: Identity | None) -> _Case:
    started = time.perf_counter()
    source = (require_grey if bundle.network.get("image_channels", 1) == 1 else require_color)(read_image(path))
    was_read = time.perf_counter()
    try:
        image, geometry = bundle.preset.prepare(
            source.pixels, photometric=source.photometric, voi_window=source.voi_window
        )
    except InputError as error:
        raise InputError(f"`{path.name}`: {error}") from error
    seconds = {"read": was_read - started, "prepare": time.perf_counter() - was_read}
    return _Case(
        name=name,
        path=path,
        sha256=sha256,
        source=source,
        image=image,
        geometry=geometry,
        seconds=seconds,
        identity=identity,
    )


@dataclass(frozen=True)
class _Run:
    """What all batches of a call share."""

    bundle: Bundle
    network: SemiGanSegmenter
    settings: InversionSettings
    recipe: Recipe
    dicom: DicomOptions
    queue: CaseQueue[_Case]

    def finish(self, batch: Sequence[_Case]) -> None:
        """Segment and write a batch; one that is too large for the memory image by image."""
        fault = ""
        try:
            with case_faults():
                images = torch.from_numpy(np.stack([case.image for case in batch]))
                result = segment_batch(self.network, images.to(self.network.is_trained.device), self.settings)
        except InputError as error:
            fault = str(error)  # the error itself would keep what filled the memory
        if not fault:
            for at, case in enumerate(batch):
                self._write(case, result, at, result.seconds / len(batch))
        elif len(batch) == 1:
            self.queue.drop(batch[0].name, InputError(fault))
        else:
            for case in batch:
                self.finish([case])

    def _write(self, case: _Case, result: SegmentedBatch, at: int, network_seconds: float) -> None:
        try:
            with case_faults():
                content, numbers, extras = self._case_files(case, result, at, network_seconds)
                write_case(self.queue.folder / case.name, content, numbers, extras=extras)
        except (InputError, GeometryError) as error:
            self.queue.drop(case.name, error)
            return
        self.queue.advance()

    def _case_files(
        self, case: _Case, result: SegmentedBatch, at: int, network_seconds: float
    ) -> tuple[dict[str, Any], dict[str, Any], Writers]:
        """Return a case's files by name, its numbers, and its DICOM objects."""
        started, bundle = time.perf_counter(), self.bundle
        scores, reconstruction = result.label_logits[at].cpu().numpy(), result.reconstruction[at].cpu().numpy()
        encoder_error = float(result.encoder_image_error[at])
        drawn = case.geometry.scores_to_label(scores)
        label = bundle.components.apply(drawn)
        found = {name: bool((label == index).any()) for index, name in enumerate(bundle.class_names) if index}
        expected = expected_by_class(result.overlap[at], found)
        warnings = trust_warnings(bundle.image_chain, found=found, image_error=encoder_error, expected_dice=expected)
        panel = reconstruction_panel(case.image, reconstruction, scores.argmax(axis=0), bundle.colors)
        picture = overlay(case.source.pixels, label, bundle.colors)
        seconds = {**case.seconds, "network": network_seconds, "enlarge and draw": time.perf_counter() - started}
        numbers = {
            "schema": CASE_SCHEMA,
            "case": case.name,
            "source": {"name": case.path.name, "sha256": case.sha256},
            "identity": asdict(case.identity) if case.identity is not None else None,
            "bundle": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
            "versions": environment(),
            "settings": {**asdict(self.settings), "seed": self.recipe.request["seed"]},
            "request": dict(self.recipe.request),
            "size_px": list(case.source.as_stored(label).shape),
            "spacing_mm": list(case.source.spacing_mm) if case.source.spacing_mm else None,
            "class_names": list(bundle.class_names),
            **_areas(label, bundle, case.source.spacing_mm),
            "cleaned_px": _cleaned(drawn, label, bundle),
            "expected_dice": expected,
            "image_error": float(result.image_error[at]),
            "encoder_image_error": encoder_error,
            "steps_taken": int(result.steps_taken[at]),
            "trace": [round(float(loss), 6) for loss in result.trace[at] if math.isfinite(float(loss))],
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "warnings": [*case.source.warnings, *warnings],
        }
        content = {
            "label.png": partial(write_label, label=case.source.as_stored(label)),  # on the stored pixels
            "overlay.png": encode_png(picture),
            "reconstruction.png": encode_png(panel),
        }
        is_dicom = case.source.is_dicom
        extras = image_results(label, case.path, bundle, self.dicom, np.asarray(picture)) if is_dicom else {}
        return content, numbers, extras


def _areas(label: np.ndarray, bundle: Bundle, spacing_mm: tuple[float, float] | None) -> dict[str, Any]:
    names, count = bundle.class_names, len(bundle.class_names)
    counts = class_counts(label, count)
    areas = class_areas_mm2(label, spacing_mm, count) if spacing_mm else None
    return {
        "class_shares": {name: counts[at] / label.size for at, name in enumerate(names) if at},
        "class_areas_mm2": {name: areas[at] for at, name in enumerate(names) if at} if areas else None,
    }


def _cleaned(drawn: np.ndarray, label: np.ndarray, bundle: Bundle) -> dict[str, dict[str, int]]:
    """Count what the bundle's rules took from each class and gave to it."""
    counts = [np.bincount(part.ravel(), minlength=256) for part in (drawn[label == 0], label[drawn == 0])]
    return {
        bundle.class_names[index]: {"removed": int(counts[0][index]), "filled": int(counts[1][index])}
        for index in bundle.components.by_class
    }


def _read_case(target: Path) -> CaseReport:
    """Read a finished case back for the report; pictures become JPEG, a tenth of the size."""
    names = ("montage.png",) if (target / "montage.png").exists() else ("overlay.png", "reconstruction.png")
    numbers = json.loads((target / "case.json").read_text())
    return CaseReport(target.name, numbers, *(_picture(target / name) for name in names))


def _picture(path: Path) -> bytes | None:
    try:
        with Image.open(path) as picture:
            return encode_jpeg(picture.convert("RGB"))
    except OSError:  # gone or damaged since it was written: the numbers are still worth a report
        return None


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error.strerror}.") from error
