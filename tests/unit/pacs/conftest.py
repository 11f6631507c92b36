"""Lets these tests send with the peers of the benchmarks, which are no part of the package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from monai_semigan.pacs.listener import Limits, Listener
from monai_semigan.pacs.peer import Access
from monai_semigan.pacs.store import InstanceStore

sys.path.append(str(Path(__file__).parents[3]))  # at the end: the installed package goes before the checkout's folder


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    """Make listeners on free ports; keywords are fields of `Limits`, and ``store``, ``access`` and ``host``."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Listener:
            store = settings.pop("store", None) or InstanceStore(tmp_path / "received")
            access, host = settings.pop("access", Access()), settings.pop("host", "127.0.0.1")
            return stack.enter_context(Listener(store, access, port=0, host=host, limits=Limits(**settings)))

        yield make


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    from orthanc_server import free_ports

    return free_ports(1)[0]
