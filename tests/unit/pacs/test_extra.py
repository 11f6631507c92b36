"""Without the extra, what needs it says how to get it, and nothing else does."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from monai_semigan.errors import ConfigError
from monai_semigan.pacs.extra import pacs_library
from monai_semigan.pacs.peer import parse_peer

EXTRA = r"pip install 'monai_semigan\[pacs\]'"


@pytest.mark.parametrize(
    ("library", "peer"),
    [("pynetdicom", "ORTHANC@127.0.0.1:4242"), ("dicomweb_client", "http://127.0.0.1:8042/dicom-web")],
)
def test_a_missing_library_names_the_extra(library: str, peer: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigError, match=EXTRA):
        pacs_library(library)
    with pytest.raises(ConfigError, match=EXTRA):
        parse_peer(peer)


def test_status_and_transfers_are_imported_without_it(tmp_path: Path) -> None:
    modules = ("serving", "status", "transfers", "store", "listener", "orthanc", "web", "dimse", "peer")
    code = "import sys\n" + "".join(f"import monai_semigan.pacs.{name}\n" for name in modules)
    code += "print({'pynetdicom', 'dicomweb_client', 'requests'} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert found.stdout.strip() == "set()"


def test_a_connection_that_the_peer_has_cut_is_closed() -> None:
    """Else the socket stays open until Python collects it: `shutdown` of one that is not connected fails."""
    transport = pacs_library("pynetdicom").transport
    with socket.socket() as cut:
        found = SimpleNamespace(socket=cut)
        transport.AssociationSocket._shutdown_socket(found)
        assert cut.fileno() == -1
