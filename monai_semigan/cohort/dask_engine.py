# SPDX-License-Identifier: Apache-2.0
"""The engine whose processes are Dask's workers, on this machine or on many.

Every worker gets one task, which takes rows from the manifest until none waits (`dask_worker`). A worker that comes
later, also in place of a lost one, gets one too. This process takes no rows: it says in the manifest which workers are
gone, and reads from it what was done.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distributed import Client, Future

from monai_semigan.atomic import owner_name
from monai_semigan.cohort.clusters import ANSWER_S, GPU, Clustered, ClusterOptions, open_cluster
from monai_semigan.cohort.dask_worker import CohortPlugin, work_through
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Part
from monai_semigan.cohort.working import CaseEvent, Observer, Work
from monai_semigan.errors import ConfigError
from monai_semigan.segmentation.segmenter import Segmenter
from monai_semigan.workflows.claims import free_claims

__all__ = ["DaskEngine"]

logger = logging.getLogger(__name__)

LOOK_S = 0.3
"""Between two looks at workers and rows, seconds."""

REFILL_S = 5.0
"""Between two requests for workers in place of lost ones, seconds."""


@dataclass(frozen=True)
class DaskEngine:
    """Dask's workers take rows until none waits.

    Attributes:
        options: Which workers.
    """

    options: ClusterOptions = field(default_factory=ClusterOptions)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part(),)

    def run(self, work: Work, segmenter: Segmenter, observe: Observer | None = None) -> None:
        """Work until no row waits; see `engines.Engine`.

        Raises:
            ConfigError: The cluster does not answer, or none of its workers can take part.
            BackendError: The cluster was lost on the way.
        """
        on_gpu = segmenter.device.type == "cuda"
        plugin = CohortPlugin(_for_all(work))
        with Manifest(work.folder) as manifest:
            if work.chosen is not None:
                manifest.choose(work.chosen)
            crew: _Crew | None = None
            try:
                with open_cluster(self.options, on_gpu=on_gpu) as clustered, _installed(clustered, plugin) as name:
                    crew = _Crew(clustered, name, manifest, on_gpu=on_gpu, observe=observe)
                    crew.work_through()
            finally:
                if crew is not None and self.options.is_ours:  # ended by now, with what they had taken
                    free_claims(manifest.folder, lost=crew.owners.values())
                    manifest.give_back(crew.owners.values())


class _Crew:
    """The workers, and what each of them does."""

    def __init__(
        self, clustered: Clustered, plugin: str, manifest: Manifest, *, on_gpu: bool, observe: Observer | None
    ) -> None:
        self.clustered, self.plugin, self.manifest, self.observe = clustered, plugin, manifest, observe
        self.client: Client = clustered.client
        self.resources = {GPU: 1} if on_gpu else None
        self.owners: dict[str, str] = {}  # by the worker's address: what it is called in the manifest
        self._tasks: dict[str, Future] = {}  # of workers at work
        self._idle: set[str] = set()  # found nothing more to take
        self._refused: dict[str, str] = {}  # and why
        self._ended = {row.case for row in manifest.ended()}
        self._refilled = time.monotonic()

    def work_through(self) -> None:
        while not self._is_over():
            time.sleep(LOOK_S)
            there: Mapping[str, Any] = self.client.scheduler_info()["workers"]
            if self.client.status != "running":
                raise OSError("no line to the scheduler")
            self._part_from(there)
            self._collect()
            for address in there.keys() - self._tasks.keys() - self._idle - self._refused.keys():
                self._welcome(address, there[address].get("resources", {}))
            if time.monotonic() - self._refilled > REFILL_S:
                self._refilled = time.monotonic()
                self.clustered.refill(len(there))
            self._tell()

    def _is_over(self) -> bool:
        """Whether nothing is left for these workers; where a process left something behind, they get it."""
        if self._tasks:
            return False
        if self._refused and not self._idle:
            raise ConfigError(f"`cluster` must have a worker that can take part. {next(iter(self._refused.values()))}")
        self.manifest.repair()
        if self.manifest.num_waiting() == 0:
            return True
        self._idle.clear()
        return False

    def _part_from(self, there: Mapping[str, Any]) -> None:
        """Let the rows of lost workers wait again, and those take them that are idle."""
        lost = [self.owners.pop(address) for address in self.owners.keys() - there.keys()]
        for address in self._tasks.keys() - there.keys():
            self._tasks.pop(address).cancel(reason="worker lost", msg="its rows are others' now")
        for address in self._refused.keys() - there.keys():
            del self._refused[address]
        self._idle &= there.keys()
        if lost:
            free_claims(self.manifest.folder, lost=lost)
            self.manifest.repair(lost=lost)
            self._idle.clear()

    def _collect(self) -> None:
        """Hear which workers have ended, and which cannot take part."""
        for address, task in [(address, task) for address, task in self._tasks.items() if task.done()]:
            del self._tasks[address]
            with suppress(Exception):  # lost or cancelled with its worker, which gets another one if it is back
                reason = task.result(timeout=ANSWER_S)
                if reason:
                    self._refuse(address, reason)
                else:
                    self._idle.add(address)

    def _welcome(self, address: str, resources: Mapping[str, float]) -> None:
        """Give a worker its task, which no other one can do for it."""
        if self.resources is not None and resources.get(GPU, 0) < 1:
            self._refuse(address, f"It must be started with --resources {GPU}=1.")
            return
        try:
            self.owners[address] = self.client.run(owner_name, workers=[address])[address]
        except (OSError, TimeoutError, KeyError):  # it ended just now
            return
        except ImportError:
            self._refuse(address, "It must have monai_semigan installed, of the same version as here.")
            return
        self._tasks[address] = self.client.submit(
            work_through,
            self.plugin,
            key=f"{self.plugin}-{uuid.uuid4().hex}",
            pure=False,
            workers=[address],
            allow_other_workers=False,
            resources=self.resources,
        )

    def _refuse(self, address: str, reason: str) -> None:
        self._refused[address] = reason
        logger.warning("The worker %s takes no part. %s", address, reason)

    def _tell(self) -> None:
        """Tell of cases that ended since the last look."""
        if self.observe is None:
            return
        counts, rows = self.manifest.counts(), self.manifest.ended()
        for row in rows:
            if row.case not in self._ended:
                known = {"reason": row.reason, "seconds": row.seconds if row.state == "done" else None}
                self.observe(CaseEvent(case=row.case, state=row.state, counts=counts, **known))  # type: ignore[arg-type]
        self._ended = {row.case for row in rows}


@contextmanager
def _installed(clustered: Clustered, plugin: CohortPlugin) -> Iterator[str]:
    """Give the plug-in to all workers that are there or come, and yield its name; in the end they stop after a case."""
    name = f"semigan-cohort-{uuid.uuid4().hex[:12]}"
    try:
        clustered.client.register_plugin(plugin, name=name)
    except ImportError as error:
        raise ConfigError(
            "`cluster` must have workers with monai_semigan installed, of the same version as here."
        ) from error
    try:
        yield name
    finally:
        with suppress(OSError, TimeoutError, ImportError, ValueError):
            clustered.client.unregister_worker_plugin(name)


def _for_all(work: Work) -> Work:
    """Workers may be at home in another folder."""
    bundle = Path(work.bundle)
    is_folder = bundle.is_dir() or len(bundle.parts) != 1
    return replace(work, folder=work.folder.absolute(), bundle=str(bundle.absolute() if is_folder else work.bundle))
