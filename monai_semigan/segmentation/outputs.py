# SPDX-License-Identifier: Apache-2.0
"""The files of a case, by the name of their format. A format from elsewhere is added by `register_output`.

.. code-block:: python

    register_output(Output("npy", "label.npy", lambda path, result, options: np.save(path.open("wb"), result.label)))
    result.save("out/case", formats=("npy",))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monai_semigan import __version__
from monai_semigan.atomic import replacing_folder
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.files import write_bytes, write_json
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.label_file import write_label
from monai_semigan.io.label_volume import write_itk_label, write_nifti_label, write_nifti_probability
from monai_semigan.io.volume import DicomOrigin, SourceVolume
from monai_semigan.networks.checkpoint import file_digest
from monai_semigan.pictures.overlay import encode_png
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.viewer import MAX_USUAL_VOXELS, VIEWER_FILE, VIEWER_IMAGE, write_viewer
from monai_semigan.settings import to_json
from monai_semigan.writers.dicom_options import DicomOptions
from monai_semigan.writers.dicom_preview import write_dicom_preview
from monai_semigan.writers.dicom_result import AlgorithmInfo
from monai_semigan.writers.dicom_seg import write_dicom_seg, write_dicom_seg_2d

__all__ = ["OUTPUTS", "Output", "is_image", "register_output", "require_formats", "usual_formats", "write_case"]

MAX_VERSION_LENGTH = 64
"""A DICOM long string (LO, PS3.5 6.2)."""


def _any_source(_: Segmentation) -> bool:
    return True


@dataclass(frozen=True)
class Output:
    """One format of result.

    Attributes:
        name: What it is asked for by.
        file: Its name in a case's folder.
        write: Writes the file it is given, whole.
        fits: Whether a case can have it.
        beside: Names of further files that it may write into the same folder.
        is_extra: The source may not allow it, as a repaired series allows no DICOM SEG: then it is left out, with a
            warning, instead of failing the case.
    """

    name: str
    file: str
    write: Callable[[Path, Segmentation, DicomOptions], object]
    fits: Callable[[Segmentation], bool] = _any_source
    is_extra: bool = False
    beside: tuple[str, ...] = ()


OUTPUTS: dict[str, Output] = {}
"""By name."""


def register_output(output: Output) -> None:
    """Add a format; one of the same name is replaced."""
    OUTPUTS[output.name] = output


def require_formats(names: Sequence[str]) -> None:
    """Refuse formats that nobody has registered.

    Raises:
        ConfigError: There is one.
    """
    unknown = sorted(set(names) - OUTPUTS.keys())
    if unknown:
        raise ConfigError(f"`formats` must be of {', '.join(OUTPUTS)}, got {', '.join(unknown)}.")


def usual_formats(result: Segmentation) -> tuple[str, ...]:
    """Return what is written for a case when nothing else is asked for."""
    formats = ["png", "overlay", "reconstruction"] if is_image(result) else ["nifti", "montage"]
    formats += ["viewer"] if result.label.size <= MAX_USUAL_VOXELS else []
    return (*formats, *(["probability"] if result.probability is not None else []), "dicom-seg")


def write_case(
    folder: Path, result: Segmentation, formats: Sequence[str] | None = None, dicom: DicomOptions | None = None
) -> CaseRecord:
    """Fill a hidden folder, then rename it: a case is there whole or not at all.

    Args:
        folder: The case's folder; an earlier one is replaced.
        result: The case.
        formats: Names; None for `usual_formats`. What a source cannot have, such as DICOM SEG of a PNG, is left out
            where it was not asked for by name.
        dicom: How DICOM objects are written.

    Returns:
        The record with the files' digests, as ``case.json`` holds it.

    Raises:
        ConfigError: A format is unknown, or the source cannot have one that was asked for.
        OutputError: It cannot be written, and nothing of it is left; or there are other things in the folder.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "case.json").exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"`{folder}` must be new, empty, or hold an earlier case. Choose a folder of its own.")
    outputs = _chosen(result, formats)
    warnings = list(result.record.warnings)
    with replacing_folder(folder) as hidden:
        for output in outputs:
            path = hidden / output.file
            try:
                output.write(path, result, dicom or DicomOptions())
            except (InputError, OutputError) as error:
                if not output.is_extra or (isinstance(error, OutputError) and isinstance(error.__cause__, OSError)):
                    raise  # that the system refuses, as a full disk does, is no matter of the source
                warnings.append(f"No {output.file} was written: {error}")
        files = {path.name: file_digest(path) for path in sorted(hidden.iterdir())}
        record = replace(result.record, files=files, warnings=tuple(warnings))
        write_json(hidden / "case.json", to_json(record))
    return record


def _chosen(result: Segmentation, formats: Sequence[str] | None) -> list[Output]:
    require_formats(formats or ())
    chosen = [OUTPUTS[name] for name in (usual_formats(result) if formats is None else dict.fromkeys(formats))]
    for output in chosen:
        if formats is not None and not output.fits(result) and not output.is_extra:
            raise ConfigError(f"`formats` must fit the source, but `{result.source.record.name}` has no {output.name}.")
    fitting = [output for output in chosen if output.fits(result)]
    if chosen and not fitting:
        raise ConfigError(f"`formats` must fit the source, but `{result.source.record.name}` has none of them.")
    return fitting


def is_image(result: Segmentation) -> bool:
    """Whether a result is of a single image."""
    return isinstance(result.source.data, SourceImage)


def _is_volume(result: Segmentation) -> bool:
    return not is_image(result)


def _is_dicom(result: Segmentation) -> bool:
    data = result.source.data
    return data.is_dicom if isinstance(data, SourceImage) else isinstance(data.origin, DicomOrigin)


def _algorithm(result: Segmentation) -> AlgorithmInfo:
    bundle = result.record.bundle
    version = f"{bundle.version} ({__version__})"[:MAX_VERSION_LENGTH]
    return AlgorithmInfo(name=bundle.name, version=version, digest=bundle.digest)


def _write_volume(write: Callable[..., object]) -> Callable[[Path, Segmentation, DicomOptions], object]:
    return lambda path, result, _: write(path, result.label, result.source.data)


def _write_probability(path: Path, result: Segmentation, _: DicomOptions) -> None:
    assert isinstance(result.source.data, SourceVolume)
    assert result.probability is not None
    write_nifti_probability(path, result.probability, result.source.data)


def _write_seg(path: Path, result: Segmentation, options: DicomOptions) -> None:
    data = result.source.data
    settings = {
        "segments": result.model.segments,
        "algorithm": _algorithm(result),
        "kind": options.kind,
        "terminology": options.terminology,
        "empty": options.empty,
    }
    if isinstance(data, SourceImage):
        write_dicom_seg_2d(path, label=result.label, source=data.header, **settings)  # type: ignore[arg-type]
    else:
        write_dicom_seg(path, label=result.label, volume=data, **settings)  # type: ignore[arg-type]


def _write_preview(path: Path, result: Segmentation, _: DicomOptions) -> None:
    data = result.source.data
    header = data.header if isinstance(data, SourceImage) else data.origin.headers[0]  # type: ignore[union-attr]
    write_dicom_preview(path, picture=np.asarray(result.picture), source=header, algorithm=_algorithm(result))


def _write_panel(path: Path, result: Segmentation, _: DicomOptions) -> None:
    assert result.panel is not None
    write_bytes(path, encode_png(result.panel))


def _write_picture(path: Path, result: Segmentation, _: DicomOptions) -> None:
    write_bytes(path, encode_png(result.picture))


for _output in (
    Output("png", "label.png", lambda path, result, _: write_label(path, result.label), is_image),
    Output("overlay", "overlay.png", _write_picture, is_image),
    Output("reconstruction", "reconstruction.png", _write_panel, is_image),
    Output("nifti", "label.nii.gz", _write_volume(write_nifti_label), _is_volume),
    Output("mha", "label.mha", _write_volume(write_itk_label), _is_volume),
    Output("nrrd", "label.nrrd", _write_volume(write_itk_label), _is_volume),
    Output("montage", "montage.png", _write_picture, _is_volume),
    Output(
        "probability",
        "probability.nii.gz",
        _write_probability,
        lambda result: _is_volume(result) and result.probability is not None,
    ),
    Output("viewer", VIEWER_FILE, lambda path, result, _: write_viewer(path, result), beside=(VIEWER_IMAGE,)),
    Output("dicom-seg", "seg.dcm", _write_seg, _is_dicom, is_extra=True),
    Output("dicom-preview", "preview.dcm", _write_preview, _is_dicom, is_extra=True),
):
    register_output(_output)
