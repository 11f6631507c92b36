# SPDX-License-Identifier: Apache-2.0
"""What a container is asked for: by its command line, and by the ``task.json`` of mercure, which goes before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from monai_semigan.errors import ConfigError
from monai_semigan.files import read_json
from monai_semigan.io.dicom.repair import RepairOptions
from monai_semigan.io.dicom.rules import SeriesRules
from monai_semigan.segmentation.outputs import OUTPUTS, require_formats
from monai_semigan.settings import Range, check_settings, read_settings
from monai_semigan.types import PathLike
from monai_semigan.workflows.segment_options import SegmentOptions
from monai_semigan.writers.dicom_options import DicomOptions

__all__ = ["TASK_NAME", "ModuleRequest", "TaskSettings", "read_task"]

TASK_NAME = "task.json"

MAX_TASK_BYTES = 2**22
"""A task lists the series of its study and what was done before; that takes kilobytes."""


@dataclass(frozen=True, kw_only=True)
class ModuleRequest:
    """What a container is asked for.

    Attributes:
        bundle: A shipped bundle's name, or a bundle folder.
        options: As for `segment_files`.
    """

    bundle: str = ""
    options: SegmentOptions = field(default_factory=SegmentOptions)

    def dicom_formats(self) -> tuple[str, ...]:
        """Return the formats wanted where DICOM alone can be taken.

        Raises:
            ConfigError: One is unknown or no DICOM, or there is none.
        """
        options = self.options
        wanted = ("dicom-seg", *options.extra_formats) if options.formats is None else options.formats
        names = tuple(name for name in dict.fromkeys(wanted) if name not in options.left_out)
        require_formats(names)
        foreign = [name for name in names if not OUTPUTS[name].file.endswith(".dcm")]
        if foreign or not names:
            known = [name for name, output in OUTPUTS.items() if output.file.endswith(".dcm")]
            raise ConfigError(f"`formats` must be of {', '.join(known)} here, got {', '.join(foreign) or 'none'}.")
        return names


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What ``task.json`` may set; null for what the command line says.

    Attributes:
        bundle: A shipped bundle's name, or a bundle folder inside the container.
        steps: Inversion steps; 0: encoder alone.
        batch_size: Images or slices at once.
        deterministic: The same label whatever the batch size and the threads.
        max_memory_gib: Refuse a volume whose estimated peak of memory is above.
        device: Where to compute.
        modality: What the values of a volume are, such as ``CT``; ``auto``: the DICOM tag, else the intensities.
        formats: What is written, such as ``dicom-seg``.
        rules: Which series are taken.
        repairs: What may be done to irregular series.
        dicom: How DICOM objects are written.
    """

    bundle: str | None = None
    steps: Annotated[int, Range(0, 10_000)] | None = None
    batch_size: Annotated[int, Range(1, 1024)] | None = None
    deterministic: bool | None = None
    max_memory_gib: Annotated[float, Range(0, exclusive="low")] | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    modality: str | None = None
    formats: tuple[str, ...] | None = None
    rules: SeriesRules | None = None
    repairs: RepairOptions | None = None
    dicom: DicomOptions | None = None

    def __post_init__(self) -> None:
        check_settings(self)

    def over(self, request: ModuleRequest) -> ModuleRequest:
        """Return the request with what is set here."""
        inner = self._given("steps", "batch_size", "deterministic", "max_memory_gib", "modality")
        outer = self._given("device", "formats", "rules", "repairs", "dicom")
        options = replace(request.options, segmenter=replace(request.options.segmenter, **inner), **outer)
        return ModuleRequest(bundle=self.bundle or request.bundle, options=options)

    def _given(self, *names: str) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


def read_task(folder: PathLike) -> TaskSettings:
    """Read the settings that mercure's ``task.json`` has for this module; none where there is no such file.

    Raises:
        ConfigError: It is too large or no JSON, a setting is unknown, or a value has another type or range.
    """
    path = Path(folder) / TASK_NAME
    if not path.exists():
        return TaskSettings()
    task = _object(read_json(path, MAX_TASK_BYTES, error=ConfigError), TASK_NAME)
    process = task.get("process") or {}
    if isinstance(process, list):  # the steps of a chain; a module sees its own alone
        if len(process) != 1:
            raise ConfigError(f"`process` in `{TASK_NAME}` must be one step, got {len(process)}. Run them one by one.")
        process = process[0]
    settings = _object(process, f"process in {TASK_NAME}").get("settings") or {}
    return read_settings(TaskSettings, settings, f"process.settings in {TASK_NAME}")


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"`{name}` must be an object, got {type(value).__name__}.")
    return value
