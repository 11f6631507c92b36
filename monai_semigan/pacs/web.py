# SPDX-License-Identifier: Apache-2.0
"""A peer by DICOMweb: STOW-RS, QIDO-RS and WADO-RS."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monai_semigan.errors import PeerError, SemiGanError
from monai_semigan.io.dicom.values import quiet_dicom
from monai_semigan.pacs.extra import pacs_library
from monai_semigan.pacs.peer import Access, Level, Query, Row, Take

__all__ = ["WebPeer", "web_faults", "web_session"]

FINAL = (400, 405, 406, 409, 413, 415, 422)
"""Answers that the same request will meet again."""

PAGE = 500
"""Rows asked for at once."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")

MEANINGS = {
    401: "wants a user or token that it knows. Give --user, or the token by its variable",
    403: "refuses this user. Let it in there",
    404: "has no DICOMweb at this address. Check the path, as /dicom-web",
}


class WebPeer:
    """A peer by DICOMweb.

    Args:
        url: Root of the service, such as ``http://127.0.0.1:8042/dicom-web``.
        access: Who we are.
    """

    def __init__(self, url: str, access: Access) -> None:
        library = pacs_library("dicomweb_client")
        self.name, self.access = url, access
        with web_faults(url):
            self._client = library.DICOMwebClient(url, session=web_session(url, access), timeout=access.timeout_s)
        self._client.set_http_retry_params(retry=False)  # who calls knows when to try again

    def send(self, files: Sequence[Path]) -> None:
        from pydicom import dcmread  # noqa: PLC0415  (0.3 s to import)

        for path in files:
            with web_faults(self.name), quiet_dicom():
                dataset = dcmread(path)
                answer = self._client.store_instances([dataset])
                stored = [str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or []]
                failed = [int(item.get("FailureReason") or 0) for item in answer.get("FailedSOPSequence") or []]
            if failed:
                raise PeerError(
                    f"{self.name} refused `{path.name}` (reason 0x{failed[0]:04X}).",
                    is_final=failed[0] & 0xFF00 != 0xA700,  # that one: no room
                )
            if str(dataset.SOPInstanceUID) not in stored:
                raise PeerError(f"{self.name} did not say that it stored `{path.name}`: is DICOMweb at this address?")

    def find(self, level: Level, query: Query) -> list[Row]:
        filters = {keyword: value for keyword, value in query.items() if value}
        fields = [keyword for keyword in query if keyword not in filters]
        study = filters.pop("StudyInstanceUID", None) if level == "series" else None
        rows: list[Row] = []
        while True:
            page = {"search_filters": filters, "fields": fields, "limit": PAGE, "offset": len(rows)}
            with web_faults(self.name), quiet_dicom():
                if level == "study":
                    found = self._client.search_for_studies(**page)
                else:
                    found = self._client.search_for_series(study, **page)
                rows += [{keyword: _value(item, keyword) for keyword in query} for item in found]
            if len(found) < PAGE:
                return rows

    def fetch(self, study: str, series: str | None, take: Take) -> int:
        count = 0
        with web_faults(self.name), quiet_dicom():
            found = self._client.iter_series(study, series) if series else self._client.iter_study(study)
            for dataset in found:
                stream = io.BytesIO()
                dataset.save_as(stream, enforce_file_format=True)
                take(stream.getvalue())
                count += 1
        return count


def web_session(url: str, access: Access) -> Any:
    """Open a session with the user, token and certificates of an `Access`; no proxy stands before this machine."""
    session = pacs_library("requests").Session()
    if urlsplit(url).hostname in LOOPBACK:
        session.trust_env = False
    if access.user is not None:
        session.auth = (access.user, access.password or "")
    if access.token is not None:
        session.headers["Authorization"] = f"Bearer {access.token}"
    if access.ca is not None:
        session.verify = str(access.ca)
    if access.certificate is not None:
        session.cert = (str(access.certificate), str(access.key))
    return session


@contextmanager
def web_faults(name: str) -> Iterator[None]:
    """Say what a server's answer means, without quoting it.

    Raises:
        PeerError: It could not be reached, refused, or answered something that is no DICOMweb.
    """
    requests = pacs_library("requests")
    try:
        yield
    except SemiGanError:
        raise
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        meaning = MEANINGS.get(code, "failed" if code >= 500 else "refused")
        raise PeerError(f"{name} {meaning} (HTTP {code}).", is_final=code in FINAL) from None
    except requests.exceptions.SSLError:
        raise PeerError(f"{name} could not be reached by TLS. Check --tls-ca and the server's certificate.") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise PeerError(f"{name} cannot be reached ({type(error).__name__}).") from None
    except requests.JSONDecodeError:  # an OSError too
        raise PeerError(f"{name} answered something that is no DICOMweb (no JSON).") from None
    except OSError as error:
        raise PeerError(f"{name} cannot be reached ({type(error).__name__}).") from None
    except Exception as error:  # no DICOMweb ends in what the parsers like, whose text quotes the answer
        raise PeerError(f"{name} answered something that is no DICOMweb ({type(error).__name__}).") from None


def _value(item: Any, keyword: str) -> str:
    """One value of DICOM JSON (PS3.18 F.2)."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415  (0.3 s to import)

    values = item.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value") or []
    return "/".join(str(value.get("Alphabetic", "") if isinstance(value, dict) else value) for value in values)
