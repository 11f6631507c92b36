# SPDX-License-Identifier: Apache-2.0
"""One task in a container: a folder of studies in, a folder of results out, and ``result.json`` that says how it ended.

Two contracts are in use. Under that of mercure the output holds DICOM objects alone, named as its inputs are, so that
they can be sent on; settings come in ``task.json``. Under the plain one of MONAI Deploy and XNAT it holds a folder per
case and the report. In both, results are made aside and moved into place when all are there, ``result.json`` last: an
output without it is of a task that did not end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from monai_semigan.atomic import scratch_folder
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError
from monai_semigan.files import make_folder, write_json
from monai_semigan.io.image_file import NoImageError
from monai_semigan.io.volume_input import NoVolumeError
from monai_semigan.pacs.module_inputs import LinkedInputs, link_inputs
from monai_semigan.pacs.module_results import (
    RESULT_NAME,
    SCRATCH_NAME,
    moves_of_dicom,
    moves_of_folder,
    publish,
    require_free,
)
from monai_semigan.pacs.module_settings import ModuleRequest, read_task
from monai_semigan.report.segmentation_report import FailureReport, SegmentationReport
from monai_semigan.segmentation.record import BundleRecord, CaseRecord
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.cases import require_apart
from monai_semigan.workflows.segmenting import segment_files

__all__ = ["Contract", "ModuleResult", "run_module"]

RESULT_SCHEMA: Final = "semigan-module-1"

Contract = Literal["mercure", "folder"]
Status = Literal["done", "some failed", "failed", "nothing to segment"]


@dataclass(frozen=True, kw_only=True)
class ModuleResult:
    """What ``result.json`` holds: nothing of a patient.

    Attributes:
        schema: Version of this description.
        status: How the task ended. ``nothing to segment`` is no fault: no series or image was of the wanted kind.
        bundle: What made the results; null if there are none.
        cases: As in a case's ``case.json``.
        failures: What could not be segmented, with the reason.
        left: How many DICOM files were no images to segment, by the reason; of volumes the reason is in ``reason``.
        num_files: Files that were looked at and taken.
        reason: Why there was nothing to segment.
    """

    schema: Literal["semigan-module-1"] = RESULT_SCHEMA
    status: Status
    bundle: BundleRecord | None = None
    cases: tuple[CaseRecord, ...] = ()
    failures: tuple[FailureReport, ...] = ()
    left: Mapping[str, int]
    num_files: Annotated[int, Range(0)]
    reason: str = ""

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def has_failures(self) -> bool:
        """Whether something could not be segmented."""
        return bool(self.failures)


def run_module(
    source: PathLike,
    output: PathLike,
    *,
    request: ModuleRequest,
    contract: Contract = "folder",
    progress: Progress | None = None,
) -> ModuleResult:
    """Segment what is in a folder, as a container does that was started for this.

    Args:
        source: Folder with the files; under the contract of mercure also ``task.json``, whose settings go before.
        output: An empty folder, or one to be made.
        request: What is asked for.
        contract: ``mercure``: DICOM in, ``SERIES#INSTANCE.dcm`` out. ``folder``: what `segment_files` takes and writes.
        progress: As of `segment_files`.

    Returns:
        What ``result.json`` in the output says.

    Raises:
        ConfigError: The output is the input, a setting of ``task.json`` is unknown, or no bundle is named.
        InputError: The folder does not exist or cannot be read.
        BundleError: The bundle is incomplete, altered, or not to be trusted.
        OutputError: The results cannot be written, and nothing of them is left; or something else is in the output.
    """
    source, output = Path(source), Path(output)
    require_apart([source], output)
    is_mercure = contract == "mercure"
    if is_mercure:
        request = read_task(source).over(request)
        formats = request.dicom_formats()
        request = replace(request, options=replace(request.options, formats=formats, extra_formats=(), left_out=()))
    if not request.bundle:
        raise ConfigError("`bundle` must be named, got none. Set it in the settings of the task, or pass --bundle.")
    takes_volumes = open_bundle(request.bundle).takes_volumes
    make_folder(output)
    require_free(output)
    with scratch_folder(output, SCRATCH_NAME) as scratch:  # the one place that can be written to under every contract
        made = make_folder(scratch / "made")
        inputs = link_inputs(
            source,
            make_folder(scratch / "inputs"),
            takes_volumes=takes_volumes,
            rules=request.options.rules,
            with_others=not is_mercure,
            skip=output,
        )
        result = _segmented(inputs, made, request, progress)
        moves = moves_of_dicom(made) if is_mercure else moves_of_folder(made)
        write_json(made / RESULT_NAME, to_json(result))
        publish(moves, made / RESULT_NAME, output)
    return result


def _segmented(inputs: LinkedInputs, made: Path, request: ModuleRequest, progress: Progress | None) -> ModuleResult:
    known: dict[str, Any] = {"left": inputs.left, "num_files": inputs.num_taken}
    nothing = ModuleResult(status="nothing to segment", reason="No file is of the wanted kind.", **known)
    if not inputs.num_taken:
        return nothing
    try:
        report = segment_files(
            inputs.folder, bundle=request.bundle, output=made, options=request.options, progress=progress
        )
    except NoImageError:
        return nothing
    except NoVolumeError as error:
        return replace(nothing, reason=str(error))
    cases = tuple(case.record for case in report.cases)
    return ModuleResult(
        status=_status(report), bundle=report.bundle, cases=cases, failures=tuple(report.failures), **known
    )


def _status(report: SegmentationReport) -> Status:
    if not report.failures:
        return "done"
    return "some failed" if report.cases else "failed"
