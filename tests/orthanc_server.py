"""A PACS for tests: Debian's Orthanc with its DICOMweb plug-in, on free ports of this machine, its data in a folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

AET = "ORTHANC"
PLUGIN = "libOrthancDicomWeb.so"
PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/lib/x86_64-linux-gnu", "/usr/local/share")
START_SECONDS = 30


@dataclass(frozen=True)
class Orthanc:
    """A running server."""

    http_port: int
    dicom_port: int

    @property
    def dimse(self) -> str:
        """As `semigan dicom` names it, by DIMSE."""
        return f"{AET}@127.0.0.1:{self.dicom_port}"

    @property
    def url(self) -> str:
        """Of its REST interface."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def web(self) -> str:
        """Of DICOMweb."""
        return f"{self.url}/dicom-web"

    def request(self, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """Ask its REST or DICOMweb interface, by no proxy."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, data=body, headers=named), timeout=30) as answer:
            return answer.read()

    def rest(self, path: str) -> Any:
        """Ask its REST interface for JSON."""
        return json.loads(self.request(path))

    def store_at(self, node: str, series: str) -> dict[str, Any]:
        """Let it send a series to a node that it knows, and return what came of it."""
        return json.loads(self.request(f"/modalities/{node}/store", json.dumps([series]).encode()))

    def series(self, *modalities: str) -> dict[str, list[str]]:
        """Return the instances of each series of some modalities."""
        found = {name: self.rest(f"/series/{name}") for name in self.rest("/series")}
        return {k: one["Instances"] for k, one in found.items() if one["MainDicomTags"]["Modality"] in modalities}

    def stow(self, *files: Path) -> None:
        """Store files by STOW-RS (PS3.18 10.5)."""
        boundary = uuid.uuid4().hex
        parts = [
            f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file.read_bytes() + b"\r\n"
            for file in files
        ]
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        answer = self.request("/dicom-web/studies", body, Content_Type=kind, Accept="application/dicom+json")
        assert not json.loads(answer)["00081198"].get("Value"), "FailedSOPSequence"

    def wado(self, study: str, series: str, instance: str) -> bytes:
        """Return the file of an instance by WADO-RS (PS3.18 10.4)."""
        path = f"/dicom-web/studies/{study}/series/{series}/instances/{instance}"
        answer = self.request(path, Accept='multipart/related; type="application/dicom"')
        boundary = answer.split(b"\r\n", 1)[0]
        _, part = answer.split(b"\r\n\r\n", 1)
        return part[: part.rindex(b"\r\n" + boundary)]


def _missing(what: str) -> None:
    if os.environ.get("SEMIGAN_REQUIRE_INTEGRATION"):
        pytest.fail(f"`{what}` must be installed here.")
    pytest.skip(f"`{what}` is not installed")


def _program() -> str:
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        _missing("Orthanc")
    return str(found)


def _plugin() -> Path:
    for folder in map(Path, PLUGIN_FOLDERS):
        for path in folder.rglob(f"{PLUGIN}*") if folder.is_dir() else ():
            return path
    _missing(PLUGIN)
    raise AssertionError


def free_ports(count: int) -> list[int]:
    """Ask the system for ports; all are held until the last is known, so that none comes twice."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running_orthanc(folder: Path, nodes: Sequence[tuple[str, int]] = (), **more: Any) -> Iterator[Orthanc]:
    """Start a server, skip the test where it is not installed, and stop it.

    Args:
        folder: For its data.
        nodes: AE titles and ports that it can send to; they are named in lower case.
        more: Further settings.
    """
    program, plugin = _program(), _plugin()
    folder.mkdir(exist_ok=True)
    server, name = Orthanc(*free_ports(2)), f"SEMIGAN_{uuid.uuid4().hex[:8]}"
    settings = {
        "Name": name,
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": server.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": AET,
        "DicomPort": server.dicom_port,
        "DicomCheckCalledAet": False,
        **{f"DicomAlwaysAllow{what}": True for what in ("Store", "Find", "Get", "Move")},
        "UnknownSopClassAccepted": True,
        "DicomModalities": {title.lower(): [title, "127.0.0.1", port] for title, port in nodes},
        "OverwriteInstances": True,
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "StableAge": 1,
        **more,
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            _wait(server, name, process)
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _wait(server: Orthanc, name: str, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers, and is ours: another one may have taken the port."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, "Orthanc ended: see orthanc.log"
        try:
            assert server.rest("/system")["Name"] == name
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("Orthanc does not answer.")
