# SPDX-License-Identifier: Apache-2.0
"""Anything that shows an image or a volume, to what a segmenter takes."""

from __future__ import annotations

import os
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.geometry.grid import VoxelGrid
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.dicom.repair import NO_REPAIRS, RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.io.image_file import ImageFile, SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.io.volume_input import VOLUME_SUFFIXES, find_volumes
from monai_semigan.segmentation.record import SourceRecord
from monai_semigan.segmentation.source import Source, array_digest
from monai_semigan.types import PathLike, as_paths
from monai_semigan.workflows.sources import read_image_source, read_volume_source

__all__ = ["read"]

Kind = Literal["auto", "image", "volume"]


def read(
    source: PathLike | Any,
    *,
    spacing_mm: Sequence[float] | None = None,
    kind: Kind = "auto",
    modality: str | None = None,
    rules: SeriesRules | None = None,
    repairs: RepairOptions = NO_REPAIRS,
) -> Source:
    """Read an image or a volume for `Segmenter.segment`.

    Args:
        source: A path: an image file, or a volume: NIfTI, MHA, NRRD, a zip or a folder with one DICOM series. Or an
            array: ``(H, W)`` grey, ``(H, W, 3)`` RGB, or a volume ``(I, J, K)`` whose axes grow to right, anterior and
            superior. Or MONAI's ``MetaTensor`` as its readers give it, ``(C, W, H)`` or ``(1, I, J, K)``, or a
            SimpleITK image, which say themselves where they lie. Labels of images have rows before columns always.
        spacing_mm: Of an array: distance of pixels (row, column) or voxels (I, J, K).
        kind: ``image`` or ``volume``; ``auto`` takes what the source looks like, a single DICOM file for an image.
        modality: Of an array: as DICOM writes it, such as ``CT``; None leaves it to the intensities.
        rules: Which DICOM series of a folder is taken.
        repairs: What may be done to an irregular DICOM series.

    Raises:
        ConfigError: The source is of no such kind, or ``spacing_mm`` has another length than the source has axes.
        InputError: It cannot be read, or holds no or several volumes.
        GeometryError: It is no regular volume.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"`kind` must be one of {', '.join(get_args(Kind))}, got {kind!r:.40}.")
    if isinstance(source, (str, os.PathLike)):
        (path,) = as_paths(source)
        is_volume = path.is_dir() or path.name.lower().endswith((*VOLUME_SUFFIXES, ".zip"))
        if kind == "volume" or (kind == "auto" and is_volume):
            return _volume_file(path, rules, repairs)
        return read_image_source(ImageFile(path))
    started = time.perf_counter()
    data = _in_memory(source, spacing_mm, kind, modality)
    values = data.pixels if isinstance(data, SourceImage) else data.voxels
    record = SourceRecord(name="array", format="array", sha256=array_digest(values), num_files=0)
    return Source(data=data, record=record, case="array", seconds={"read": time.perf_counter() - started})


def _volume_file(path: Path, rules: SeriesRules | None, repairs: RepairOptions) -> Source:
    with ExitStack() as stack:
        unpacked = stack.enter_context(tempfile.TemporaryDirectory(prefix=".semigan-"))
        found = find_volumes([path], rules=rules, repairs=repairs, unpack_to=unpacked)
        if len(found) != 1:
            raise InputError(
                f"`{path.name}` must hold one volume, got {len(found)}. Choose by `rules`; `semigan series` lists them."
            )
        (candidate,) = found
        source = read_volume_source(candidate)
        # What was unpacked lasts as long as the volume: DICOM results are written with the headers of its files.
        weakref.finalize(source.data, stack.pop_all().close)
    return source


def _in_memory(
    source: Any, spacing_mm: Sequence[float] | None, kind: Kind, modality: str | None
) -> SourceImage | SourceVolume:
    if type(source).__module__.startswith("SimpleITK"):
        return _from_itk(source, modality)
    if hasattr(source, "affine") and hasattr(source, "meta"):
        return _from_meta_tensor(source, kind, modality)
    if hasattr(source, "detach"):  # a tensor; NumPy knows no bfloat16
        source = source.detach().cpu()
        source = source.float() if source.is_floating_point() else source
    values = np.asarray(source)
    values = values.astype(np.uint8) if values.dtype == bool else values
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3):
        raise ConfigError(
            f"`source` must be a path or an array of numbers with 2 or 3 axes, got {values.dtype} of {values.ndim}."
        )
    is_color = values.ndim == 3 and values.shape[-1] == 3 and kind != "volume"
    if values.ndim == 3 and kind == "auto" and (values.shape[-1] in (1, 4) or values.shape[0] in (1, 3)):
        raise ConfigError(
            f"`source` must be (H, W), (H, W, 3) or (I, J, K), got {values.shape}, which looks like another layout. "
            "Give such an array, or say kind='volume'."
        )
    if values.ndim == 2 or is_color:
        if kind == "volume":
            raise ConfigError(f"`source` must have three axes for a volume, got {values.ndim}.")
        spacing = _spacing(spacing_mm, 2)
        return SourceImage(
            path=Path("array"),
            pixels=values,
            photometric="RGB" if is_color else "MONOCHROME2",
            spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        )
    if kind == "image":
        raise ConfigError(f"`source` must be (H, W) or (H, W, 3) for an image, got {values.shape}.")
    return _volume(values, np.diag([*(_spacing(spacing_mm, 3) or (1.0, 1.0, 1.0)), 1.0]), modality)


def _from_meta_tensor(source: Any, kind: Kind, modality: str | None) -> SourceImage | SourceVolume:
    values = source.detach().cpu().float().numpy() if source.is_floating_point() else source.detach().cpu().numpy()
    affine = np.asarray(source.affine.cpu(), dtype=np.float64)
    if str(source.meta.get("space", "RAS")) == "LPS":  # as some of MONAI's readers leave it when they are asked to
        affine = lps_from_ras(affine)  # its own inverse
    if values.ndim == 4 and len(values) == 1 and kind != "image":
        return _volume(values[0], affine, modality or source.meta.get("modality") or None)
    if values.ndim == 3 and len(values) in (1, 3) and kind != "volume":
        spacing = np.linalg.norm(affine[:2, :2], axis=0)
        if "stored_type" not in source.meta:  # MONAI's own readers put columns before rows
            values, spacing = values.swapaxes(1, 2), spacing[::-1]
        pixels = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
        return SourceImage(
            path=Path("array"),
            pixels=np.ascontiguousarray(pixels),
            photometric="MONOCHROME2" if len(values) == 1 else "RGB",
            spacing_mm=_known_spacing(spacing),
        )
    raise ConfigError(
        f"A MetaTensor must be an image (1 or 3, W, H) or a volume (1, I, J, K), got {tuple(values.shape)}."
    )


def _from_itk(source: Any, modality: str | None) -> SourceImage | SourceVolume:
    import SimpleITK  # noqa: PLC0415  (0.3 s to import)

    values = SimpleITK.GetArrayFromImage(source)
    spacing = source.GetSpacing()
    if source.GetDimension() == 2:
        is_color = values.ndim == 3
        photometric = "RGB" if is_color else "MONOCHROME2"
        return SourceImage(
            path=Path("array"), pixels=values, photometric=photometric, spacing_mm=_known_spacing(spacing[::-1])
        )
    if values.ndim != 3:
        raise ConfigError(f"A SimpleITK image must have one value per voxel, got {values.shape}.")
    affine = np.eye(4)
    affine[:3, :3] = np.array(source.GetDirection()).reshape(3, 3) * np.array(spacing)
    affine[:3, 3] = source.GetOrigin()
    return _volume(values.transpose(2, 1, 0), lps_from_ras(affine), modality)  # its own inverse: two signs


def _known_spacing(spacing: Sequence[float]) -> tuple[float, float] | None:
    """Of an image: unit spacing is what libraries put where a file, such as a PNG, says nothing."""
    rows, columns = float(spacing[0]), float(spacing[1])
    return None if rows == columns == 1 else (rows, columns)


def _volume(voxels: np.ndarray, affine: np.ndarray, modality: str | None) -> SourceVolume:
    shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
    return SourceVolume(name="array", voxels=voxels, grid=VoxelGrid(shape, affine), modality=modality)


def _spacing(spacing_mm: Sequence[float] | None, axes: int) -> tuple[float, ...] | None:
    if spacing_mm is None:
        return None
    try:
        values = tuple(float(value) for value in spacing_mm)
    except (TypeError, ValueError):
        values = ()
    if len(values) != axes or not all(0 < value < np.inf for value in values):
        raise ConfigError(f"`spacing_mm` must be {axes} numbers above 0, got {spacing_mm!r}.")
    return values
