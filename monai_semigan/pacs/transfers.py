# SPDX-License-Identifier: Apache-2.0
"""Single transfers: pull and push, for one study or a list, going on where an earlier call ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_semigan.errors import ConfigError, InputError, PeerError
from monai_semigan.files import make_folder
from monai_semigan.io.dicom.file import is_dicom
from monai_semigan.io.folder import files_in
from monai_semigan.pacs.ledger import Ledger
from monai_semigan.pacs.peer import Peer, Take
from monai_semigan.pacs.store import InstanceStore, short_name
from monai_semigan.types import PathLike, Progress
from monai_semigan.workflows.case_table import read_csv

__all__ = ["STUDY_FIELDS", "Fetch", "Transferred", "pull", "push", "read_studies"]

STUDY_FIELDS = (
    "StudyInstanceUID",
    "PatientID",
    "PatientName",
    "StudyDate",
    "AccessionNumber",
    "ModalitiesInStudy",
    "StudyDescription",
    "NumberOfStudyRelatedInstances",
)
"""What a search shows of a study."""

UID = re.compile(r"[0-9.]{1,64}")

Fetch = Callable[[str, str | None, Take], int]
"""As `Peer.fetch`."""


@dataclass
class Transferred:
    """What a transfer came to.

    Attributes:
        done: Studies or files that were transferred now.
        before: Those of an earlier call.
        instances: Images that came.
        others: Objects that came and are no images; they are not kept.
        failed: Reasons by place in the list, from 1.
    """

    done: int = 0
    before: int = 0
    instances: int = 0
    others: int = 0
    failed: dict[int, str] = field(default_factory=dict)


def read_studies(path: PathLike) -> list[tuple[str, str | None]]:
    """Read a CSV file with the column StudyInstanceUID and perhaps SeriesInstanceUID, as a search writes it.

    Raises:
        InputError: A column is missing, or a row holds no UID.
    """
    lines = read_csv(Path(path))
    head = [cell.strip() for cell in lines[0]] if lines else []
    if "StudyInstanceUID" not in head:
        raise InputError(f"`{Path(path).name}` must have the column StudyInstanceUID.")
    found: list[tuple[str, str | None]] = []
    for number, line in enumerate(lines[1:], start=2):
        cells = dict(zip(head, (cell.strip() for cell in line), strict=False))
        study, series = cells.get("StudyInstanceUID", ""), cells.get("SeriesInstanceUID", "")
        if not any(cells.values()):
            continue
        if not UID.fullmatch(study) or (series and not UID.fullmatch(series)):
            raise InputError(f"`{Path(path).name}` must hold UIDs of digits and dots, but row {number} does not.")
        found.append((study, series or None))
    return found


def pull(
    peer: Peer,
    studies: Sequence[tuple[str, str | None]],
    store: InstanceStore,
    ledger: Ledger,
    *,
    fetch: Fetch | None = None,
    progress: Progress | None = None,
) -> Transferred:
    """Fetch studies into a store, one folder per series; those that an earlier call fetched are skipped.

    Args:
        peer: Where from.
        studies: UIDs of study and, if wanted, series.
        store: Where to.
        ledger: Knows what was fetched.
        fetch: How, instead of ``peer.fetch``.
        progress: Called after each study.

    Raises:
        StoreFullError: There is no room.
    """
    fetch, result, known = fetch or peer.fetch, Transferred(), ledger.transferred(peer.name)

    def take(content: bytes) -> None:
        try:
            store.keep(content)
        except InputError:
            result.others += 1
        else:
            result.instances += 1

    for number, (study, series) in enumerate(studies, start=1):
        item = short_name(f"{study} {series or ''}")
        if item in known:
            result.before += 1
        else:
            try:
                count = fetch(study, series, take)
                reason = "" if count else f"{peer.name} has no such study, or no image of it."
            except PeerError as error:
                reason = str(error)
            ledger.transfer(peer.name, item, "failed" if reason else "done", reason)
            if reason:
                result.failed[number] = reason
            else:
                result.done += 1
        if progress is not None:
            progress(number, len(studies))
    for name in store.complete(0):  # whole by the peer's own word
        store.settle(name)
    return result


def push(
    peer: Peer, paths: Iterable[Path], *, state: PathLike | None = None, progress: Progress | None = None
) -> Transferred:
    """Store the DICOM files among files and folders at a peer.

    Args:
        peer: Where to.
        paths: Files and folders.
        state: Folder that remembers what was sent, so that a later call goes on there; None: everything is sent.
        progress: Called after each folder of files.

    Raises:
        InputError: A path does not exist, or there is no DICOM file.
        ConfigError: The folder is a node's, which sends by itself.
    """
    groups: dict[Path, list[Path]] = {}
    for file in (file for path in paths for file in files_in(path)):
        if is_dicom(file):
            groups.setdefault(file.parent, []).append(file)
    if not groups:
        raise InputError("`paths` must hold DICOM files, but hold none.")
    if state is None:
        return _push(peer, list(groups.values()), None, progress)
    if (Path(state) / "results").is_dir():
        raise ConfigError("`state` must be a folder of its own, not that of `semigan dicom serve`.")
    with Ledger(make_folder(state), create=True) as ledger:
        return _push(peer, list(groups.values()), ledger, progress)


def _push(peer: Peer, groups: list[list[Path]], ledger: Ledger | None, progress: Progress | None) -> Transferred:
    result = Transferred()
    known = ledger.transferred(peer.name) if ledger is not None else set()
    for number, files in enumerate(groups, start=1):
        names = {file: _file_item(file) for file in files}
        new = [file for file in files if names[file] not in known]
        result.before += len(files) - len(new)
        try:
            if new:
                peer.send(new)
        except (PeerError, InputError) as error:
            result.failed[number] = str(error)
        else:
            result.done += len(new)
            for file in new if ledger is not None else ():
                assert ledger is not None
                ledger.transfer(peer.name, names[file], "done")
        if progress is not None:
            progress(number, len(groups))
    return result


def _file_item(file: Path) -> str:
    stat = file.stat()
    return short_name(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}")
