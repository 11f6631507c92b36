# SPDX-License-Identifier: Apache-2.0
"""Label maps, probabilities and images as NIfTI, MHA or NRRD files that lie on the volume they were made from."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_semigan.atomic import replacing
from monai_semigan.errors import InputError, OutputError, ShapeError
from monai_semigan.geometry.orientation import lps_from_ras
from monai_semigan.io.itk_volume import ITK_SUFFIXES, read_itk
from monai_semigan.io.nifti_volume import NIFTI_SUFFIXES, mm_per_unit, read_nifti
from monai_semigan.io.value_checks import as_class_ids
from monai_semigan.io.volume import NiftiOrigin, SourceVolume
from monai_semigan.types import PathLike

__all__ = ["read_label_volume", "write_itk_label", "write_nifti_image", "write_nifti_label", "write_nifti_probability"]

SCANNER_CODE = 1
"""qform and sform code of scanner coordinates (nifti1.h: NIFTI_XFORM_SCANNER_ANAT)."""

MILLIMETERS = 2
"""xyzt_units of millimetres (nifti1.h)."""

ITK_FORMATS = {".mha": "MetaImageIO", ".nrrd": "NrrdImageIO"}


def write_nifti_label(path: PathLike, label: np.ndarray, volume: SourceVolume) -> None:
    """Write class ids as a uint8 NIfTI that lies exactly on its source.

    Of a NIfTI source the file has shape, qform, sform and units; of any other the volume's grid as qform and sform.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        label: ``(I, J, K)`` class ids 0 to 255, on the volume's grid.
        volume: What it was made from.

    Raises:
        ShapeError: The label does not have the volume's shape.
        InputError: Ids are below 0 or above 255.
        OutputError: The file cannot be written; nothing of it is left.
    """
    _write_nifti(Path(path), _class_ids(label, volume), volume)


def write_nifti_probability(path: PathLike, probability: np.ndarray, volume: SourceVolume) -> None:
    """Write probabilities in [0, 1] as a float32 NIfTI that lies exactly on its source.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        probability: ``(I, J, K)``, or ``(I, J, K, C)`` with one volume per class.
        volume: What it was made from.

    Raises:
        ShapeError: The first axes do not have the volume's shape.
        OutputError: The file cannot be written; nothing of it is left.
    """
    write_nifti_image(path, np.asarray(probability, dtype=np.float32), volume)


def write_nifti_image(path: PathLike, values: np.ndarray, volume: SourceVolume) -> None:
    """Write values of any type as a NIfTI that lies exactly on its source; arguments as of `write_nifti_probability`.

    Raises:
        ShapeError: The first axes do not have the volume's shape.
        OutputError: The file cannot be written; nothing of it is left.
    """
    if values.ndim not in (3, 4) or values.shape[:3] != volume.grid.shape:
        raise ShapeError(f"The values must have shape {volume.grid.shape} (and channels), got {values.shape}.")
    _write_nifti(Path(path), values, volume)


def write_itk_label(path: PathLike, label: np.ndarray, volume: SourceVolume) -> None:
    """Write class ids ``(I, J, K)`` as a uint8, compressed MHA or NRRD file on the volume's grid.

    Raises:
        ShapeError: The label does not have the volume's shape.
        InputError: Ids are below 0 or above 255.
        OutputError: The ending is another, or the file cannot be written; nothing of it is left.
    """
    import SimpleITK  # noqa: PLC0415  (0.3 s to import)

    path = Path(path)
    if path.suffix.lower() not in ITK_FORMATS:
        raise OutputError(f"`{path.name}` must end in .mha or .nrrd.")
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(_class_ids(label, volume).transpose(2, 1, 0)))
    affine = lps_from_ras(volume.grid.affine)
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / volume.grid.spacing_mm).ravel().tolist())
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO(ITK_FORMATS[path.suffix.lower()])
    writer.SetUseCompression(True)
    with replacing(path) as temporary:
        whole = temporary.with_name(temporary.name + path.suffix.lower())  # ITK looks at the ending
        writer.SetFileName(str(whole))
        try:
            writer.Execute(image)
            whole.replace(temporary)
        except RuntimeError as error:
            raise OutputError(f"`{path}` could not be written. Free some space or choose another folder.") from error
        finally:
            whole.unlink(missing_ok=True)


def read_label_volume(path: PathLike) -> SourceVolume:
    """Read class ids, for evaluation: voxels of an integer type, also where the file holds whole numbers as floats.

    NaN is background. A segmentation of 3D Slicer (``.seg.nrrd``) is read if its segments lie in one layer.

    Raises:
        InputError: The format is unknown, or a value is no whole number from 0 to 65,535.
        GeometryError: The file's axes are singular.
    """
    path = Path(path)
    lower = path.name.lower()
    if lower.endswith(NIFTI_SUFFIXES):
        volume = read_nifti(path, is_label=True)
    elif lower.endswith(ITK_SUFFIXES):
        volume = read_itk(path, is_label=True)
    else:
        raise InputError(f"`{path.name}` must be a label volume ({', '.join((*NIFTI_SUFFIXES, *ITK_SUFFIXES))}).")
    return replace(volume, voxels=as_class_ids(path.name, volume.voxels, most=np.iinfo(np.uint16).max))


def _class_ids(label: np.ndarray, volume: SourceVolume) -> np.ndarray:
    if label.shape != volume.grid.shape:
        raise ShapeError(f"`label` must have the volume's shape {volume.grid.shape}, got {label.shape}.")
    if label.dtype == np.uint8:
        return label
    if label.dtype.kind not in "iub" or label.min() < 0 or label.max() > np.iinfo(np.uint8).max:
        raise InputError(f"`label` must hold class ids 0 to 255, got {label.min()} to {label.max()} ({label.dtype}).")
    return label.astype(np.uint8)


def _write_nifti(path: Path, values: np.ndarray, volume: SourceVolume) -> None:
    from nibabel import FileHolder, Nifti1Image  # noqa: PLC0415  (0.3 s to import)

    lower = path.name.lower()
    if not lower.endswith(NIFTI_SUFFIXES):
        raise OutputError(f"`{path.name}` must end in .nii or .nii.gz.")
    origin = volume.origin
    if isinstance(origin, NiftiOrigin) and values.ndim == 3:
        values = values.reshape(origin.shape, order="F")
    image: Any = Nifti1Image(values, None)
    _place(image.header, volume)
    with replacing(path) as temporary:
        if lower.endswith(".gz"):
            # Level 1: label maps are so regular that more saves little. No time, no name: equal input, equal file.
            with (
                temporary.open("wb") as raw,
                gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as stream,
            ):
                image.to_file_map({"image": FileHolder(fileobj=stream)})
        else:
            with temporary.open("wb") as stream:
                image.to_file_map({"image": FileHolder(fileobj=stream)})


def _place(header: Any, volume: SourceVolume) -> None:
    """Write position and units into a NIfTI header."""
    origin, spacing = volume.origin, np.array(volume.grid.spacing_mm)
    if not isinstance(origin, NiftiOrigin):
        header["pixdim"][1:4] = spacing
        header.set_qform(volume.grid.affine, SCANNER_CODE)
        header.set_sform(volume.grid.affine, SCANNER_CODE)
        header["xyzt_units"] = MILLIMETERS
        return
    header["pixdim"][1:4] = spacing / mm_per_unit(origin.units)
    for place, (form, code) in ((header.set_qform, origin.qform), (header.set_sform, origin.sform)):
        if form is not None:
            place(form, code)
    header["xyzt_units"] = origin.units
