# SPDX-License-Identifier: Apache-2.0
"""One bundle at work in a node: a cohort of its own, whose cases are of the series that a route sends there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from monai_semigan.atomic import remove_stale
from monai_semigan.cohort.inputs import find_units
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.cohort.rows import CaseRow, Part, Unit
from monai_semigan.cohort.working import CaseWorker, Observer, Work
from monai_semigan.errors import InputError
from monai_semigan.files import make_folder
from monai_semigan.pacs.delivery import DICOM_SUFFIX
from monai_semigan.pacs.routes import Route
from monai_semigan.segmentation.outputs import OUTPUTS
from monai_semigan.workflows.case_faults import reason_of
from monai_semigan.workflows.case_run import segment_request
from monai_semigan.workflows.claims import free_claims
from monai_semigan.workflows.segment_options import SegmentOptions

__all__ = ["Lane", "dicom_formats", "lane_folders", "series_of"]


class Lane:
    """A bundle that stays loaded, and the manifest of its cases.

    The folder's name holds a hash of bundle and request, as a cohort is of one of each: with another one, what waits
    moves to another lane.

    Args:
        results: Folder of all lanes.
        route: Which bundle, and which series.
        options: What is asked for; its rules are those of the route.
        observe: Told of each case that ended.
    """

    def __init__(self, results: Path, route: Route, options: SegmentOptions, observe: Observer) -> None:
        self.route, self.options = route, replace(options, rules=route.rules)
        work = Work(folder=results, bundle=route.bundle, options=self.options)  # its folder is known below
        segmenter = work.segmenter()
        request = segment_request(segmenter, self.options)
        content = json.dumps([segmenter.bundle.digest, request], sort_keys=True)
        self.name = f"{segmenter.bundle.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
        self.folder = make_folder(results / self.name)
        remove_stale(self.folder)
        free_claims(self.folder)
        self.manifest = Manifest(self.folder, create=True)
        try:
            self.manifest.bind(segmenter.bundle, request)
            self.manifest.repair()
            self._remove_orphans()
            self._worker = CaseWorker(replace(work, folder=self.folder), self.manifest, segmenter, observe)
        except BaseException:
            self.manifest.close()
            raise

    def close(self) -> None:
        """Let go of the manifest."""
        self.manifest.close()

    def units(self, series: Path) -> list[Unit]:
        """Find what a series' folder holds to segment.

        Raises:
            InputError: Nothing, with the reason.
        """
        unused: list[str] = []
        with TemporaryDirectory(prefix="semigan-") as unpacked:
            found = find_units(
                [series],
                takes_volumes=self.route.takes_volumes,
                skip=self.folder,
                rules=self.options.rules,
                repairs=self.options.repairs,
                unpack_to=Path(unpacked),
                on_failure=lambda _, error: unused.append(reason_of(error)),
            )
        if not found.units:
            raise InputError("; ".join(unused) or "Nothing was found to segment.")
        return list(found.units)

    def rows(self, series: Path) -> list[CaseRow]:
        """List the cases of a series."""
        return [row for row in self.manifest.rows() if series_of(row, series.parent) == series.name]

    def work(self) -> None:
        """Segment until no case waits."""
        if self.manifest.counts()["waiting"]:
            self._worker.work_through(Part())

    def remove(self, cases: list[str]) -> None:
        """Delete cases and their results."""
        self.manifest.remove(cases)
        for case in cases:
            shutil.rmtree(self.folder / case, ignore_errors=True)

    def _remove_orphans(self) -> None:
        """Remove results whose row was removed before a crash."""
        known = {row.case for row in self.manifest.rows()}
        for path in self.folder.iterdir():
            if (path / "case.json").is_file() and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def series_of(row: Unit, received: Path) -> str:
    """Return the series' folder that a case is read from; empty for one of elsewhere."""
    return row.path.relative_to(received).parts[0] if row.path.is_relative_to(received) else ""


def lane_folders(results: Path) -> Iterator[Path]:
    """Yield the folders of lanes, also of those that no route leads to any more."""
    if results.is_dir():
        yield from (path for path in sorted(results.iterdir()) if (path / MANIFEST_NAME).is_file())


def dicom_formats() -> tuple[str, ...]:
    """Name the formats of results that are DICOM objects, all that are registered."""
    return tuple(name for name, output in OUTPUTS.items() if output.file.endswith(DICOM_SUFFIX))
