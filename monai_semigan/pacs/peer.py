# SPDX-License-Identifier: Apache-2.0
"""A system that results are sent to and studies are fetched from: ``AET@HOST:PORT`` or a DICOMweb address."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from monai_semigan.errors import ConfigError
from monai_semigan.files import escaped

__all__ = ["Access", "Level", "Peer", "Query", "Row", "Take", "check_aet", "parse_peer"]

DIMSE = re.compile(r"(?P<aet>[^@]+)@(?P<host>[^@:/\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")

Level = Literal["study", "series"]

Query = Mapping[str, str]
"""Values by DICOM keyword; an empty one is asked for."""

Row = dict[str, str]
"""Values by DICOM keyword."""

Take = Callable[[bytes], object]
"""Called with each whole DICOM file that was fetched."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who we say that we are, and how the way is secured. Secrets are in no ``repr``.

    Attributes:
        aet: Our AE title.
        certificate: PEM file with our certificate, and the others of its chain.
        key: PEM file with its key.
        ca: PEM file with those whom we trust; without, DIMSE is not encrypted unless there is a certificate.
        user: For DICOMweb, with ``password``.
        password: For DICOMweb.
        token: For DICOMweb, sent as a bearer token.
        timeout_s: How long an answer may take, seconds.

    Raises:
        ConfigError: The title is none, or certificate and key are not given together.
    """

    aet: str = "SEMIGAN"
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        check_aet(self.aet, "aet")
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("`tls_certificate` and `tls_key` must be given together.")

    def tls(self, *, is_server: bool) -> ssl.SSLContext | None:
        """Make the settings of TLS; None for none. A server with ``ca`` lets nobody in without a certificate.

        Raises:
            ConfigError: A file cannot be used.
        """
        if self.certificate is None and self.ca is None:
            return None
        if is_server and self.certificate is None:
            raise ConfigError("`tls_certificate` and `tls_key` must be given to listen with TLS.")
        purpose = ssl.Purpose.CLIENT_AUTH if is_server else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
            if self.certificate is not None and self.key is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise ConfigError(
                "`tls_certificate`, `tls_key` and `tls_ca` must be PEM files that belong together, but cannot be used "
                f"({type(error).__name__})."
            ) from error
        return context


class Peer(Protocol):
    """A system that keeps studies. Everything raises `PeerError`, with what happened and whether it is final."""

    @property
    def name(self) -> str:
        """How it was given; no secret is in it."""

    def send(self, files: Sequence[Path]) -> None:
        """Store DICOM files there; one that is there already is replaced or kept, never doubled."""

    def find(self, level: Level, query: Query) -> list[Row]:
        """List the studies or series that fit."""

    def fetch(self, study: str, series: str | None, take: Take) -> int:
        """Fetch a study or one of its series; return how many instances came."""


def check_aet(title: str, name: str) -> None:
    """Refuse what is no AE title (PS3.5 6.2): 1 to 16 printable ASCII characters, no backslash.

    Raises:
        ConfigError: It is none.
    """
    if not 1 <= len(title) <= 16 or not (title.isascii() and title.isprintable()) or "\\" in title or not title.strip():
        raise ConfigError(f"`{name}` must be an AE title of 1 to 16 ASCII characters, got {escaped(title)!r:.40}.")


def parse_peer(text: str, access: Access | None = None) -> Peer:
    """Make a peer of what a user writes.

    Raises:
        ConfigError: It is no such, or holds a password; the extra is not installed.
    """
    from monai_semigan.pacs.dimse import DimsePeer  # noqa: PLC0415  (they know `Peer`)
    from monai_semigan.pacs.web import WebPeer  # noqa: PLC0415

    access = access or Access()
    if text.lower().startswith(("http://", "https://")):
        return WebPeer(_checked_url(text), access)
    found = DIMSE.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ConfigError(
            f"`to` must be AET@HOST:PORT or an http(s) address, got {escaped(text)!r:.80}. Try ORTHANC@127.0.0.1:4242."
        )
    check_aet(found["aet"], "to")
    return DimsePeer(found["aet"], found["host"].strip("[]"), int(found["port"]), access)


def _checked_url(text: str) -> str:
    try:
        parts: Any = urlsplit(text)
        has_secret, host, _ = "@" in parts.netloc, parts.hostname, parts.port
    except ValueError:
        host, has_secret = None, False
    if has_secret:  # it would be shown wherever the address is
        raise ConfigError("An address must hold no user and password. Give --user, and the password by its variable.")
    if not host or parts.query or parts.fragment:
        raise ConfigError("An address must be http(s)://HOST[:PORT]/PATH, such as http://127.0.0.1:8042/dicom-web.")
    return text.rstrip("/")
