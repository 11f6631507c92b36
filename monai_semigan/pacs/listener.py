# SPDX-License-Identifier: Apache-2.0
"""The node that others send to: a C-STORE and C-ECHO provider that trusts no peer.

Whom it lets in, how much it takes, and that success is answered only when the disk has the instance, is decided here.
What a peer sends is read through `_bounded`: no PDU longer than agreed, no instance larger than allowed, no pause
longer than the time-out, so that a peer that lies about lengths or stalls costs one association and no memory.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any

from monai_semigan.errors import ConfigError, InputError, OutputError, SemiGanError
from monai_semigan.pacs.classes import IMAGE_CLASSES, all_contexts, contexts
from monai_semigan.pacs.extra import pacs_library
from monai_semigan.pacs.peer import Access, check_aet
from monai_semigan.pacs.store import InstanceStore, MismatchError

__all__ = ["Limits", "Listener"]

logger = logging.getLogger(__name__)

SUCCESS, FULL, MISMATCH, UNREADABLE, UNSUPPORTED = 0x0000, 0xA700, 0xA900, 0xC000, 0x0122
"""Statuses of C-STORE (PS3.4 B.2.3, PS3.7 C.5.7)."""

MAX_PDU = 2**17
"""Bytes that we let peers put into one PDU; they get told when an association begins."""

MAX_REQUEST = 2**20
"""Bytes of the request for an association, which knows no limit yet."""

REQUEST_S = 10.0
"""How long a connection may stay without a request: it takes one of the places."""

VERIFICATION = "1.2.840.10008.1.1"

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a peer may ask of us.

    Attributes:
        allow: AE titles that may call; empty for any, on the loopback interface alone.
        max_instance: Bytes of an instance.
        max_associations: At once.
        max_rate: New associations per minute of one address.
        timeout_s: How long a peer may pause.
        takes_all: Let in objects that are no images too, and do not keep them, so that a study can come as a whole.
    """

    allow: tuple[str, ...] = ()
    max_instance: int = 2**29
    max_associations: int = 8
    max_rate: int = 600
    timeout_s: float = 60.0
    takes_all: bool = False

    def __post_init__(self) -> None:
        for title in self.allow:
            check_aet(title, "allow")


class Listener:
    """A DICOM node.

    .. code-block:: python

        with Listener(store, access, port=11112):
            ...

    Args:
        store: Where instances go.
        access: Our AE title and certificates.
        port: Of TCP; 0 for a free one, see `port`.
        host: Address to listen on.
        limits: What peers may ask.

    Raises:
        ConfigError: The port is taken, or the address is open to others without a list of who may call.
    """

    def __init__(
        self,
        store: InstanceStore,
        access: Access,
        *,
        port: int,
        host: str = "127.0.0.1",
        limits: Limits | None = None,
    ) -> None:
        self.store, self.limits = store, limits or Limits()
        self.counts: Counter[str] = Counter()
        if not self.limits.allow and host not in LOOPBACK:
            raise ConfigError("`allow` must name the AE titles that may call when others can reach this node.")
        self._server = self._made(access, host, port)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="dicom-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more, and end the associations."""
        self._server.shutdown()
        for association in list(self._server.active_associations):
            association.abort()
        self._thread.join(timeout=10)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    @property
    def num_associations(self) -> int:
        """Open ones."""
        return len(self._server.active_associations)

    @property
    def is_alive(self) -> bool:
        """Whether it listens."""
        return self._thread.is_alive()

    def _made(self, access: Access, host: str, port: int) -> Any:
        pynetdicom = pacs_library("pynetdicom")
        evt = pynetdicom.evt
        entity = pynetdicom.AE(ae_title=access.aet)
        entity.maximum_associations = self.limits.max_associations
        entity.maximum_pdu_size = MAX_PDU
        entity.dimse_timeout = entity.network_timeout = self.limits.timeout_s
        entity.acse_timeout = min(REQUEST_S, self.limits.timeout_s)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self.limits.allow)
        taken = all_contexts() if self.limits.takes_all else contexts()
        entity.supported_contexts = [pynetdicom.build_context(VERIFICATION), *taken]
        handlers = [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_REJECTED, lambda _: self._count("rejected")),
            (evt.EVT_ABORTED, lambda _: self._count("aborted")),
            (evt.EVT_ACCEPTED, lambda _: self._count("associations")),
        ]
        try:
            return entity.make_server(
                (host, port),
                ssl_context=access.tls(is_server=True),
                evt_handlers=handlers,
                server_class=_server_class(self.limits, self._count),
            )
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ConfigError(
                f"`port` must be one that nobody listens on, got {port} of {host}: {reason}. Choose another --port, or "
                "end the other program."
            ) from error

    def _count(self, name: str) -> None:
        self.counts[name] += 1  # races cost a count at most

    def _bound(self, event: Any) -> None:
        """Read from a new connection through our own limits."""
        transport = event.assoc.dul.socket
        event.assoc.semigan_room = room = _Room(self.limits.max_instance + 2 * MAX_REQUEST)
        transport.recv = _bounded(transport, room, self.limits.timeout_s)

    def _stored(self, event: Any) -> int:
        event.assoc.semigan_room.refill()
        try:
            self._count("stored" if self._keep(event) else "others")
        except Exception as error:  # nothing that a peer sends may end the listener
            status = _status_of(error)
            self._count("refused")
            level = logging.WARNING if status == FULL else logging.INFO
            why = error if isinstance(error, SemiGanError) else type(error).__name__  # a library's text may quote
            logger.log(level, "An instance was refused with 0x%04X: %s", status, why)
            return status
        return SUCCESS

    def _keep(self, event: Any) -> bool:
        """Keep an instance; False if it is no image and need not be kept."""
        request = event.request
        sop_class, sop_instance = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        if sop_class != event.context.abstract_syntax:
            raise _UnsupportedError("It is of another SOP class than agreed.")
        if self.limits.takes_all and sop_class not in IMAGE_CLASSES:
            return False
        self.store.keep(event.encoded_dataset(), sop_class=sop_class, sop_instance=sop_instance)
        return True


class _UnsupportedError(InputError):
    """An instance is of a class that its presentation context does not stand for."""


def _status_of(error: Exception) -> int:
    """Return the status that says an error to a peer."""
    if isinstance(error, _UnsupportedError):
        return UNSUPPORTED
    if isinstance(error, MismatchError):
        return MISMATCH
    return FULL if isinstance(error, OutputError) else UNREADABLE


class _Room:
    """How many bytes a peer may still send before an instance of it is handled."""

    def __init__(self, size: int) -> None:
        self.size = self.left = size

    def refill(self) -> None:
        self.left = self.size


def _bounded(transport: Any, room: _Room, timeout_s: float) -> Callable[[int], bytearray]:
    """Read as `AssociationSocket.recv` does, within limits; an error ends the association."""
    longest = max(MAX_PDU, MAX_REQUEST)

    def recv(num_bytes: int) -> bytearray:
        stream: socket.socket | None = transport.socket
        if stream is None:
            return bytearray()
        room.left -= num_bytes
        if num_bytes > longest or room.left < 0:
            logger.warning("A peer sent more than is allowed; its association was ended.")
            raise OSError("more than is allowed")
        content, at = bytearray(num_bytes), 0
        end = time.monotonic() + timeout_s
        while at < num_bytes:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            stream.settimeout(left)
            got = stream.recv_into(memoryview(content)[at:])
            if not got:
                return content[:at]
            at += got
        stream.settimeout(timeout_s)
        return content

    return recv


def _server_class(limits: Limits, count: Callable[[str], None]) -> Any:
    from pynetdicom.transport import ThreadedAssociationServer  # noqa: PLC0415  (the extra)

    recent: dict[str, deque[float]] = {}

    class Server(ThreadedAssociationServer):
        """Counts connections by address, and shakes hands of TLS in the connection's own thread."""

        def get_request(self) -> tuple[Any, Any]:
            assert self.socket is not None
            stream, address = self.socket.accept()
            if self.ssl_context:
                stream.settimeout(limits.timeout_s)
                try:
                    stream = self.ssl_context.wrap_socket(stream, server_side=True, do_handshake_on_connect=False)
                except ssl.SSLError:
                    stream.close()
                    raise
            return stream, address

        def shutdown(self) -> None:
            BaseServer.shutdown(self)  # pynetdicom's own looks for servers that the entity started itself
            self.server_close()

        def verify_request(self, request: Any, client_address: Any) -> bool:
            now, host = time.monotonic(), str(client_address[0])
            times = recent.setdefault(host, deque())
            while times and now - times[0] > 60:
                times.popleft()
            if len(times) >= limits.max_rate:
                count("throttled")
                return False
            times.append(now)
            if len(recent) > 10_000:  # of addresses, not of patience
                recent.clear()
            return True

    return Server
