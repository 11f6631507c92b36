"""An Orthanc of a test's own: free ports, a folder of its own, and never another one that happens to run."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BINARIES = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so")


def free_ports(count: int) -> list[int]:
    """Ask the system for ports; all are held until the last is known, so that none comes twice."""
    sockets = [socket.socket() for _ in range(count)]
    for stream in sockets:
        stream.bind(("127.0.0.1", 0))
    ports = [stream.getsockname()[1] for stream in sockets]
    for stream in sockets:
        stream.close()
    return ports


class Orthanc:
    """A running server.

    Attributes:
        dimse: ``AET@HOST:PORT``.
        url: Of its own interface.
        web: Of DICOMweb.
    """

    def __init__(self, http: int, dicom: int) -> None:
        self.dimse, self.url = f"ORTHANC@127.0.0.1:{dicom}", f"http://127.0.0.1:{http}"
        self.web = f"{self.url}/dicom-web"

    def ask(self, path: str, content: object = None) -> Any:
        """GET a path of its own interface, or POST JSON to it."""
        import requests

        with requests.Session() as session:
            session.trust_env = False
            send = session.get if content is None else session.post
            answer = send(f"{self.url}/{path}", timeout=20, **({} if content is None else {"json": content}))
            answer.raise_for_status()
            return answer.json()

    def file(self, instance: str) -> bytes:
        """Return an instance's file."""
        import requests

        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.url}/instances/{instance}/file", timeout=20).content

    def series(self, modality: str) -> list[dict[str, Any]]:
        """List the series of a modality."""
        found = [self.ask(f"series/{name}") for name in self.ask("series")]
        return [one for one in found if one["MainDicomTags"]["Modality"] == modality]


@contextmanager
def running(folder: Path, nodes: Sequence[tuple[str, int]] = (), **settings: object) -> Iterator[Orthanc]:
    """Start an Orthanc that knows some nodes by AE title and port, and end it.

    Without its program the test is skipped, or fails where all must be there.
    """
    binary = next((path for path in BINARIES if Path(path).exists()), shutil.which("Orthanc"))
    plugin = next((path for path in PLUGINS if Path(path).exists()), None)
    if binary is None or plugin is None:
        if os.environ.get("SEMIGAN_REQUIRE_INTEGRATION"):
            pytest.fail("Orthanc and its DICOMweb plug-in must be installed here.")
        pytest.skip("Orthanc or its DICOMweb plug-in is not installed")
    folder.mkdir(parents=True)
    http, dicom = free_ports(2)
    name = f"SEMIGAN_{uuid.uuid4().hex[:8]}"
    configuration = {
        "Name": name,
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "DicomModalities": {title.lower(): [title, "127.0.0.1", port] for title, port in nodes},
        "Plugins": [plugin],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "StableAge": 1,
        **settings,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, str(path)], stdout=log, stderr=log, cwd=folder)
        try:
            server = Orthanc(http, dicom)
            deadline = time.monotonic() + 30
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    assert server.ask("system")["Name"] == name, "another server answers"
                    break
                except OSError:
                    assert time.monotonic() < deadline, "Orthanc does not answer"
                    time.sleep(0.05)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=20)
