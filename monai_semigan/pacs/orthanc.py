# SPDX-License-Identifier: Apache-2.0
"""Series from an Orthanc that we watch: its list of changes, read on from where the last look ended."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError, PeerError, SemiGanError
from monai_semigan.pacs.delivery import pause_s
from monai_semigan.pacs.ledger import Ledger
from monai_semigan.pacs.peer import Access
from monai_semigan.pacs.store import InstanceStore
from monai_semigan.pacs.web import web_faults, web_session

__all__ = ["OrthancWatch", "Watcher"]

logger = logging.getLogger(__name__)

PAGE = 100
"""Changes asked for at once."""


class OrthancWatch:
    """Bring the series that an Orthanc calls stable into a store.

    How far its changes were read is remembered after their series are on the disk: after a crash some come twice,
    which makes nothing twice, and none is left out.

    Args:
        url: Of Orthanc's own interface, such as ``http://127.0.0.1:8042``.
        access: User and certificates.
        modalities: Of the series that are wanted.
    """

    def __init__(self, url: str, access: Access, modalities: frozenset[str]) -> None:
        self.url, self.timeout_s, self.modalities = url.rstrip("/"), access.timeout_s, modalities
        self._session = web_session(url, access)

    def look(self, store: InstanceStore, ledger: Ledger) -> int:
        """Take over what became stable since the last look; return how many series came.

        Raises:
            PeerError: Orthanc cannot be reached, or is none.
            OutputError: There is no room.
        """
        name, count = f"changes of {self.url}", 0
        while True:
            since = int(ledger.fact(name) or 0)
            page = self._get(f"changes?since={since}&limit={PAGE}")
            if not isinstance(page, dict) or not isinstance(page.get("Changes"), list):
                raise PeerError(f"{self.url} is no Orthanc: it has no list of changes.")
            stable = [change["ID"] for change in page["Changes"] if change.get("ChangeType") == "StableSeries"]
            for series in dict.fromkeys(stable):
                count += self._take(series, store)
            last = int(page.get("Last", since))
            ledger.remember(name, str(0 if last < since else last))  # it counts anew when its database was
            if page.get("Done", True):
                return count

    def _take(self, series: str, store: InstanceStore) -> bool:
        found = self._get(f"series/{series}", may_be_gone=True)
        if found is None or found.get("MainDicomTags", {}).get("Modality") not in self.modalities:
            return False
        for instance in found.get("Instances", []):
            content = self._get(f"instances/{instance}/file", may_be_gone=True, is_file=True)
            if content is None:
                continue
            try:
                store.keep(content)
            except InputError as error:
                logger.info("An instance was passed over: %s", error)
        return True

    def _get(self, path: str, *, may_be_gone: bool = False, is_file: bool = False) -> Any:
        with web_faults(self.url):
            answer = self._session.get(f"{self.url}/{path}", timeout=self.timeout_s)
            if may_be_gone and answer.status_code == 404:
                return None
            answer.raise_for_status()
            return answer.content if is_file else answer.json()


class Watcher:
    """A thread that looks again and again.

    Args:
        watch: What at.
        store: Where series go.
        folder: Of the node, with the ledger.
        every_s: Pause between two looks, seconds; longer after an error.
    """

    def __init__(self, watch: OrthancWatch, store: InstanceStore, folder: Path, every_s: float) -> None:
        self.watch, self.store, self.folder, self.every_s = watch, store, folder, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dicom-watcher", daemon=True)

    @property
    def url(self) -> str:
        """What is watched."""
        return self.watch.url

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        failures = 0
        with Ledger(self.folder) as ledger:
            while not self._stop.is_set():
                try:
                    self.watch.look(self.store, ledger)
                    failures = 0
                except SemiGanError as error:
                    failures += 1
                    logger.warning("The watch pauses: %s", error)
                self._stop.wait(self.every_s if not failures else max(self.every_s, pause_s(failures)))
