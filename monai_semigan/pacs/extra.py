# SPDX-License-Identifier: Apache-2.0
"""The libraries of the extra ``pacs``, imported when they are used and kept from quoting identifiers."""

from __future__ import annotations

import contextlib
import logging
import socket
from importlib import import_module
from typing import Any

from monai_semigan.errors import ConfigError

__all__ = ["LOUD", "pacs_library"]

LOUD = ("pynetdicom", "dicomweb_client", "urllib3", "requests", "retrying")
"""Loggers that may quote what a peer sent: titles, UIDs, addresses with queries."""


def pacs_library(name: str) -> Any:
    """Import a module of the extra.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        module = import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"`{name.split('.', maxsplit=1)[0]}` must be installed to talk to a PACS. Install the extra: pip install "
            "'monai_semigan[pacs]'."
        ) from error
    for logger in map(logging.getLogger, LOUD):
        logger.setLevel(logging.CRITICAL + 1)  # their children ask them
        logger.propagate = False
    if name == "pynetdicom":
        import_module("pynetdicom.transport").AssociationSocket._shutdown_socket = _close_socket
    return module


def _close_socket(transport: Any) -> None:
    """Shut a connection and close it, ours or a peer's: pynetdicom leaves open what the other side has cut."""
    stream: socket.socket | None = transport.socket
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
        stream.close()
