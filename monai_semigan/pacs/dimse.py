# SPDX-License-Identifier: Apache-2.0
"""A peer by DIMSE: C-STORE, C-FIND and C-GET as a user of its services."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_semigan.errors import InputError, PeerError
from monai_semigan.io.dicom.values import MALFORMED, quiet_dicom
from monai_semigan.pacs.classes import all_contexts
from monai_semigan.pacs.extra import pacs_library
from monai_semigan.pacs.peer import Access, Level, Query, Row, Take

__all__ = ["DimsePeer"]

logger = logging.getLogger(__name__)

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
"""Study Root Query/Retrieve (PS3.4 C.6.2)."""

PENDING = (0xFF00, 0xFF01)
WARNING = 0xB000
"""Of this group: stored, with changes that the peer made (PS3.4 B.2.3)."""

FINAL = (0x0111, 0x0117, 0x0122, 0x0124)
"""Refusals that the same object will meet again: duplicate, bad UID, class not supported, not authorized."""

MAX_CONTEXTS = 128
"""Of an association (PS3.8 9.3.2.2)."""


class DimsePeer:
    """A peer by DIMSE.

    Args:
        aet: Its AE title.
        host: Name or address.
        port: Of TCP.
        access: Who we are.
    """

    def __init__(self, aet: str, host: str, port: int, access: Access) -> None:
        self.aet, self.host, self.port, self.access = aet, host, port, access
        self._tls = access.tls(is_server=False)
        pacs_library("pynetdicom")

    @property
    def name(self) -> str:
        return f"{self.aet}@{self.host}:{self.port}"

    def send(self, files: Sequence[Path]) -> None:
        from pydicom import dcmread  # noqa: PLC0415  (0.3 s to import)
        from pynetdicom import build_context  # noqa: PLC0415  (the extra)

        kinds: dict[tuple[str, str], None] = {}
        for path in files:
            kinds[_kind_of(path)] = None
        wanted = [build_context(sop_class, syntax) for sop_class, syntax in kinds]
        with self._associated(wanted[:MAX_CONTEXTS]) as association:
            for path in files:
                with quiet_dicom():
                    dataset = dcmread(path)
                    try:
                        status = association.send_c_store(dataset)
                    except ValueError:  # no accepted context
                        raise PeerError(
                            f"{self.name} takes no objects of the kind of `{path.name}`. Let it accept this SOP class.",
                            is_final=True,
                        ) from None
                    except (RuntimeError, AttributeError) as error:
                        raise PeerError(f"{self.name} ended the association.") from error
                self._require_stored(path, status)

    def find(self, level: Level, query: Query) -> list[Row]:
        from pynetdicom import build_context  # noqa: PLC0415  (the extra)

        rows = []
        with self._associated([build_context(FIND)]) as association:
            identifier = _identifier(level, query)
            for status, found in association.send_c_find(identifier, FIND):
                code = self._code(status)
                if code in PENDING and found is not None:
                    rows.append({name: _text(found, name) for name in query})
                elif code:
                    raise PeerError(f"{self.name} refused the search (status 0x{code:04X}).")
        return rows

    def fetch(self, study: str, series: str | None, take: Take) -> int:
        from pynetdicom import build_context, build_role, evt  # noqa: PLC0415  (the extra)

        taken, failed = [], []

        def receive(event: Any) -> int:
            try:
                take(event.encoded_dataset())
            except InputError:
                failed.append(0xC000)
            except OSError:
                failed.append(0xA700)
            else:
                taken.append(0)
                return 0x0000
            return failed[-1]

        storage = all_contexts()[: MAX_CONTEXTS - 1]  # one is for C-GET
        roles = [build_role(context.abstract_syntax, scp_role=True) for context in storage]
        with self._associated([build_context(GET), *storage], roles, [(evt.EVT_C_STORE, receive)]) as association:
            identifier = _identifier("series" if series else "study", _uids(study, series))
            self._require_whole(association.send_c_get(identifier, GET))
        if failed:
            raise PeerError(f"{len(failed)} instances from {self.name} could not be kept (0x{failed[0]:04X}).")
        return len(taken)

    def move(self, study: str, series: str | None, aet: str) -> int:
        """Let the peer send a study to a node that it knows by its AE title; return how many instances it sent."""
        from pynetdicom import build_context  # noqa: PLC0415  (the extra)

        with self._associated([build_context(MOVE)]) as association:
            identifier = _identifier("series" if series else "study", _uids(study, series))
            return self._require_whole(association.send_c_move(identifier, aet, MOVE))

    @contextmanager
    def _associated(self, wanted: list[Any], roles: Sequence[Any] = (), handlers: Sequence[Any] = ()) -> Iterator[Any]:
        from pynetdicom import AE  # noqa: PLC0415  (the extra)

        entity = AE(ae_title=self.access.aet)
        entity.connection_timeout = min(10.0, self.access.timeout_s)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = self.access.timeout_s
        try:
            association = entity.associate(
                self.host,
                self.port,
                wanted,
                ae_title=self.aet,
                ext_neg=list(roles) or None,
                evt_handlers=list(handlers) or None,
                tls_args=None if self._tls is None else (self._tls, self.host),
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise PeerError(f"{self.name} cannot be reached ({type(error).__name__}).") from error
        try:
            if not association.is_established:
                raise PeerError(f"{self.name} {_why_not(association)}")
            yield association
        finally:
            if association.is_established:
                association.release()

    def _require_stored(self, path: Path, status: Any) -> None:
        code = self._code(status)
        if code and code & 0xF000 != WARNING:
            is_final = code in FINAL or code & 0xFF00 == 0xA900 or code & 0xF000 == 0xC000
            raise PeerError(f"{self.name} refused `{path.name}` (status 0x{code:04X}).", is_final=is_final)

    def _require_whole(self, answers: Any) -> int:
        """Follow the answers of a C-GET or C-MOVE to their end; return how many instances were sent."""
        completed = failed = 0
        for status, _ in answers:
            code = self._code(status)
            completed = int(status.get("NumberOfCompletedSuboperations") or completed)
            failed = int(status.get("NumberOfFailedSuboperations") or 0)
            if code not in (*PENDING, 0x0000, WARNING):
                raise PeerError(f"{self.name} refused the retrieval (status 0x{code:04X}).")
        if failed and not completed:
            raise PeerError(f"{self.name} could not send {failed} objects.")
        if failed:  # mostly reports and the like, which are of no kind that we take
            logger.warning("%s could not send %d of %d objects.", self.name, failed, failed + completed)
        return completed

    def _code(self, status: Any) -> int:
        if status is None or "Status" not in status:
            raise PeerError(f"{self.name} gave no answer in time, or ended the association.")
        return int(status.Status)


def _kind_of(path: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a file."""
    from pydicom import dcmread  # noqa: PLC0415  (0.3 s to import)

    try:
        with quiet_dicom():
            meta = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True).file_meta
            return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
    except Exception:  # a damaged file makes pydicom raise what it likes
        raise InputError(f"`{path.name}` must be a whole DICOM file to be sent.") from None


def _identifier(level: Level, query: Query) -> Any:
    from pydicom import Dataset  # noqa: PLC0415  (0.3 s to import)

    made = Dataset()
    made.QueryRetrieveLevel = level.upper()
    with quiet_dicom():
        for keyword, value in query.items():
            setattr(made, keyword, value)
    return made


def _uids(study: str, series: str | None) -> dict[str, str]:
    return {"StudyInstanceUID": study} | ({"SeriesInstanceUID": series} if series else {})


def _text(dataset: Any, keyword: str) -> str:
    with quiet_dicom():
        try:
            value = dataset.get(keyword)
        except MALFORMED:
            return ""
    return "" if value is None else "/".join(map(str, value)) if _is_list(value) else str(value)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "append")


def _why_not(association: Any) -> str:
    """Say why there is no association, by the numbers of PS3.8 9.3.4."""
    if not association.is_rejected:
        return "cannot be reached, or did not answer. Check host, port and TLS."
    answer = association.acceptor.primitive
    source, reason = getattr(answer, "result_source", 0), getattr(answer, "diagnostic", 0)
    if source == 1 and reason == 3:
        return f"does not know our AE title {association.requestor.ae_title.strip()}. Let it in there, or give --aet."
    if source == 1 and reason == 7:
        return "has another AE title. Correct the part before the @."
    return f"rejected the association (source {source}, reason {reason})."
