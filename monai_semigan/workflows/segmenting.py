# SPDX-License-Identifier: Apache-2.0
"""Segment images with a bundle: files in, one folder per case and a report out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from monai_semigan.errors import InputError
from monai_semigan.inference.bundle import Bundle, load_network, open_bundle
from monai_semigan.inference.segmenter import segment_batch
from monai_semigan.io.image_file import SourceImage, find_images, read_image, require_color, require_grey
from monai_semigan.io.label_file import write_label
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.report.files import make_folder, write_json, write_text
from monai_semigan.report.overlay import encode_jpeg, encode_png, overlay, reconstruction_panel
from monai_semigan.report.segmentation_report import (
    CaseReport,
    SegmentationReport,
    render_segmentation_report,
)
from monai_semigan.transforms.square import SquareGeometry
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.cases import CASE_SCHEMA, CaseInput, CaseQueue, write_case
from monai_semigan.workflows.dicom_results import DicomOptions, image_results
from monai_semigan.workflows.settings import choose_device, choose_inversion

__all__ = ["segment"]


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
    progress: Progress | None = None,
) -> SegmentationReport:
    """Segment images: a folder per case with label, overlay, reconstruction and numbers, and a report over all.

    DICOM images get a DICOM SEG as well.

    A case is named after its file's stem; a second file of the same stem gets ``-2``. A case that an earlier call
    finished for the same file is skipped, and shown in the report all the same. An input that cannot be segmented is
    listed with its reason and does not stop the others.

    Args:
        inputs: Image files (PNG, JPEG, TIFF, DICOM), or folders of them.
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
        progress: Called with the inputs done and their number.

    Returns:
        What ``report.json`` and ``report.html`` in ``output`` say.

    Raises:
        InputError: An input does not exist, or a folder holds no image.
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        OutputError: The results cannot be written.
    """
    paths = find_images(inputs)
    opened = open_bundle(bundle)
    network = load_network(opened, device=choose_device(device))
    settings = choose_inversion(opened.inversion, steps=steps, compute_dtype=compute_dtype)
    folder = make_folder(output)
    torch.manual_seed(seed)
    queue: CaseQueue[_Case] = CaseQueue(folder, len(paths), overwrite=overwrite, progress=progress)
    cases = queue.cases([_case_input(path, opened) for path in paths])
    while batch := list(islice(cases, batch_size)):
        for case, content in zip(
            batch, _segment_cases(batch, network, settings, opened, seed, dicom or DicomOptions()), strict=True
        ):
            write_case(folder / case.name, content)
            queue.advance()
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
    )
    write_json(folder / "report.json", report.to_json())
    write_text(folder / "report.html", render_segmentation_report(report))
    return report


def _case_input(path: Path, bundle: Bundle) -> CaseInput[_Case]:
    return CaseInput(
        source=path.name,
        stem=path.stem,
        digest=lambda: _digest(path),
        read=lambda name, sha256: _prepare(path, name, sha256, bundle),
    )


def _prepare(path: Path, name: str, sha256: str, bundle: Bundle) -> _Case:
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
    return _Case(name=name, path=path, sha256=sha256, source=source, image=image, geometry=geometry, seconds=seconds)


def _segment_cases(
    cases: Sequence[_Case],
    network: SemiGanSegmenter,
    settings: InversionSettings,
    bundle: Bundle,
    seed: int,
    dicom: DicomOptions,
) -> Iterator[dict[str, Any]]:
    """Run a batch through the network; yield each case's files by name, its numbers last."""
    images = torch.from_numpy(np.stack([case.image for case in cases])).to(network.is_trained.device)
    result = segment_batch(network, images, settings)
    scores, reconstruction = result.label_logits.cpu().numpy(), result.reconstruction.cpu().numpy()
    for at, case in enumerate(cases):
        started = time.perf_counter()
        drawn = case.geometry.scores_to_label(scores[at])
        label = bundle.components.apply(drawn)
        panel = reconstruction_panel(case.image, reconstruction[at], scores[at].argmax(axis=0), bundle.colors)
        picture = overlay(case.source.pixels, label, bundle.colors)
        trace = [round(float(loss), 6) for loss in result.trace[at] if math.isfinite(float(loss))]
        seconds = {
            **case.seconds,
            "network": result.seconds / len(cases),
            "enlarge and draw": time.perf_counter() - started,
        }
        yield {
            "label.png": partial(write_label, label=label),
            "overlay.png": encode_png(picture),
            "reconstruction.png": encode_png(panel),
            **(image_results(label, case.path, bundle, dicom, np.asarray(picture)) if case.source.is_dicom else {}),
            "case.json": {
                "schema": CASE_SCHEMA,
                "case": case.name,
                "source": {"name": case.path.name, "sha256": case.sha256},
                "bundle": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
                "versions": environment(),
                "settings": {**asdict(settings), "seed": seed},
                "size_px": list(label.shape),
                "spacing_mm": list(case.source.spacing_mm) if case.source.spacing_mm else None,
                "class_names": list(bundle.class_names),
                **_areas(label, bundle, case.source.spacing_mm),
                "cleaned_px": _cleaned(drawn, label, bundle),
                "image_error": float(result.image_error[at]),
                "encoder_image_error": float(result.encoder_image_error[at]),
                "steps_taken": int(result.steps_taken[at]),
                "trace": trace,
                "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
                "warnings": [*case.source.warnings, *_warnings(label, bundle, float(result.encoder_image_error[at]))],
            },
        }


def _areas(label: np.ndarray, bundle: Bundle, spacing_mm: tuple[float, float] | None) -> dict[str, Any]:
    counts = np.bincount(label.ravel(), minlength=len(bundle.class_names))
    named = {name: int(count) for name, count in zip(bundle.class_names[1:], counts[1:], strict=True)}
    pixel = spacing_mm[0] * spacing_mm[1] if spacing_mm else None
    return {
        "class_shares": {name: count / label.size for name, count in named.items()},
        "class_areas_mm2": {name: count * pixel for name, count in named.items()} if pixel else None,
    }


def _cleaned(drawn: np.ndarray, label: np.ndarray, bundle: Bundle) -> dict[str, dict[str, int]]:
    """Count what the bundle's rules took from each class and gave to it."""
    counts = [np.bincount(part.ravel(), minlength=256) for part in (drawn[label == 0], label[drawn == 0])]
    return {
        bundle.class_names[index]: {"removed": int(counts[0][index]), "filled": int(counts[1][index])}
        for index in bundle.components.by_class
    }


def _warnings(label: np.ndarray, bundle: Bundle, image_error: float) -> list[str]:
    warnings = [
        f"No {name} was found." for index, name in enumerate(bundle.class_names) if index and not (label == index).any()
    ]
    if image_error > bundle.max_image_error:
        warnings.append(
            "Unlike the images this bundle was made for: do not trust the label "
            f"(reconstruction error {image_error:.3f}, usual up to {bundle.max_image_error:.3f})."
        )
    return warnings


def _read_case(target: Path) -> CaseReport:
    """Read a finished case back for the report; pictures become JPEG, a tenth of the size."""
    names = ("montage.png",) if (target / "montage.png").exists() else ("overlay.png", "reconstruction.png")
    pictures = []
    for name in names:
        with Image.open(target / name) as picture:
            pictures.append(encode_jpeg(picture.convert("RGB")))
    numbers = json.loads((target / "case.json").read_text())
    return CaseReport(target.name, numbers, *pictures)


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"`{path.name}` must be readable: {error.strerror}.") from error
