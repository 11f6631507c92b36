# SPDX-License-Identifier: Apache-2.0
"""What runs inside a Dask worker: one plug-in that keeps the model, one task that takes rows until none waits.

A task carries the name of the plug-in, and nothing of a case: rows are claimed in the manifest, as every other process
of the cohort claims them. So there is one order of work, and Dask can neither lose a case nor do one twice.
"""

from __future__ import annotations

from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.worker import Worker

from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Part
from monai_semigan.cohort.working import CaseWorker, Work
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.workflows.case_faults import reason_of

__all__ = ["CohortPlugin", "work_through"]


class CohortPlugin(WorkerPlugin):
    """Keeps a cohort's model in a worker.

    Args:
        work: What is to be done.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._segmenter: Segmenter | None = None
        self._is_wanted = True

    def teardown(self, worker: Worker) -> None:
        self._is_wanted = False

    def work_through(self) -> None:
        """Take rows until none waits, or the plug-in is removed: then what is in work is ended first.

        Raises:
            BundleError: The bundle is not here.
            ConfigError: Another one has its name here than where the cohort was begun.
            InputError: The cohort's folder is not here, or its manifest is damaged.
        """
        with Manifest(self.work.folder) as manifest:
            worker = CaseWorker(self.work, manifest, self._loaded())
            worker.work_through(Part(), goes_on=lambda: self._is_wanted)

    def _loaded(self) -> Segmenter:
        """Load the model when the first rows are to be taken: a worker that joins says so at once."""
        if self._segmenter is None:
            self._segmenter = self.work.segmenter()
        return self._segmenter


def work_through(plugin: str) -> str:
    """Let a plug-in of this worker work; return why it cannot, empty if it could.

    No error leaves: Dask would write it into its log with all that it quotes.
    """
    try:
        found = get_worker().plugins[plugin]
        assert isinstance(found, CohortPlugin)
        found.work_through()
    except Exception as error:
        return reason_of(error)
    return ""
