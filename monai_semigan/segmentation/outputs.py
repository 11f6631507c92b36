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

from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.files import replacing_results, write_bytes, write_json
from monai_semigan.io.image_file import CASE_FILE, SourceImage
from monai_semigan.io.label_file import write_label
from monai_semigan.io.label_volume import write_itk_label, write_nifti_label, write_nifti_probability
from monai_semigan.io.volume import SourceVolume
from monai_semigan.networks.checkpoint_file import file_digest
from monai_semigan.pictures.overlay import encode_png
from monai_semigan.segmentation.dicom_outputs import (
    SEG_FILE,
    is_from_dicom,
    write_contours,
    write_map,
    write_preview,
    write_seg,
    write_sr,
)
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.viewer import MAX_USUAL_VOXELS, VIEWER_FILE, VIEWER_IMAGE, write_viewer
from monai_semigan.settings import to_json
from monai_semigan.writers.dicom_options import DicomOptions

__all__ = ["OUTPUTS", "Output", "is_image", "register_output", "require_formats", "usual_formats", "write_case"]


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
    viewer = ("viewer",) if result.label.size <= MAX_USUAL_VOXELS else ()
    if is_image(result):
        return ("png", "overlay", "reconstruction", *viewer, "dicom-seg")
    probability = ("probability",) if result.probability is not None else ()
    return ("nifti", "montage", *viewer, *probability, "dicom-seg")


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
    outputs = _chosen(result, formats)
    warnings = list(result.record.warnings)
    with replacing_results(folder, CASE_FILE) as hidden:
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
        write_json(hidden / CASE_FILE, to_json(record))
    return record


def _chosen(result: Segmentation, formats: Sequence[str] | None) -> list[Output]:
    require_formats(formats or ())
    asked = set(usual_formats(result) if formats is None else formats)
    chosen = [output for output in OUTPUTS.values() if output.name in asked]  # in this order: some look at others
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


def _write_volume(write: Callable[..., object]) -> Callable[[Path, Segmentation, DicomOptions], object]:
    return lambda path, result, _: write(path, result.label, result.source.data)


def _write_probability(path: Path, result: Segmentation, _: DicomOptions) -> None:
    assert isinstance(result.source.data, SourceVolume)
    assert result.probability is not None
    write_nifti_probability(path, result.probability, result.source.data)


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
    Output("dicom-seg", SEG_FILE, write_seg, is_from_dicom, is_extra=True),
    Output("dicom-sr", "sr.dcm", write_sr, is_from_dicom, is_extra=True),  # after the SEG that it refers to
    Output(
        "dicom-probability",
        "probability.dcm",
        write_map,
        lambda result: is_from_dicom(result) and result.probability is not None,
        is_extra=True,
    ),
    Output("dicom-contours", "contours.dcm", write_contours, is_from_dicom, is_extra=True),
    Output("dicom-preview", "preview.dcm", write_preview, is_from_dicom, is_extra=True),
):
    register_output(_output)
