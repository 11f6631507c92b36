"""The node beside an Orthanc: what a linter would say of the recipe, that both agree, and that they work together."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dicom_files
import numpy as np
import pytest
import yaml
from deploy_recipes import DEPLOY, ROOT, read_dockerfile, require_command
from orthanc_server import free_ports, running_orthanc
from pydicom import dcmread
from pydicom.uid import generate_uid

import monai_semigan
from monai_semigan.bundles import list_bundles

RECIPE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
ORTHANC: dict[str, Any] = json.loads((DEPLOY / "orthanc.json").read_text())
SERVICES: dict[str, dict[str, Any]] = RECIPE["services"]

CR = "1.2.840.10008.5.1.4.1.1.1"

SERVICE_KEYS = {
    "build", "cap_drop", "command", "entrypoint", "environment", "image", "networks", "ports", "read_only", "restart",
    "security_opt", "tmpfs", "user", "volumes",
}  # fmt: skip
"""Of a service; a slip in another one would be of no effect."""


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """By the place inside: what is there, and how."""
    found = {}
    for text in service["volumes"]:
        # A variable's message may hold colons, but no brace.
        source, target, *mode = re.fullmatch(r"((?:\$\{[^}]*\}|[^:])+):([^:]+)(?::(ro))?", text).groups()
        found[target] = (source, mode[0] or "rw")
    return found


def options() -> dict[str, str]:
    """Of the node's command; those that are given once."""
    return dict(word.removeprefix("--").split("=", 1) for word in SERVICES["semigan"]["command"][2:])


def test_nothing_but_what_compose_knows_is_there():
    assert set(RECIPE) == {"name", "services", "networks"} and set(SERVICES) == {"orthanc", "semigan"}
    for service in SERVICES.values():
        assert set(service) <= SERVICE_KEYS


@pytest.mark.parametrize("name", ["orthanc", "semigan"])
def test_every_service_is_confined(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\$\{SEMIGAN_USER:\?[^}]+\}", service["user"]), "who starts it says who it is"
    assert re.fullmatch(r"[a-z0-9/-]+:\d[\w.-]*", service["image"]), "pinned"
    for target, (source, mode) in mounts(service).items():
        assert mode == "ro" or re.fullmatch(r"\$\{SEMIGAN_DATA:\?[^}]+\}/\w+", source), target


def test_only_orthanc_can_be_reached_and_from_this_machine_alone():
    networks = RECIPE["networks"]
    assert networks["inside"] == {"internal": True} and set(networks) == {"inside", "outside"}
    assert SERVICES["semigan"]["networks"] == ["inside"] and "ports" not in SERVICES["semigan"]
    assert SERVICES["orthanc"]["networks"] == ["inside", "outside"]
    own = [str(ORTHANC[name]) for name in ("HttpPort", "DicomPort")]
    assert SERVICES["orthanc"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in own]
    assert ORTHANC["AuthenticationEnabled"] is True


def test_no_password_is_in_it():
    assert ORTHANC["RegisteredUsers"] == {"orthanc": "${ORTHANC_PASSWORD}"}
    assert re.fullmatch(r"\$\{ORTHANC_PASSWORD:\?[^}]+\}", SERVICES["orthanc"]["environment"]["ORTHANC_PASSWORD"])


def test_the_image_is_ours_with_what_a_node_needs():
    service = SERVICES["semigan"]
    build = service["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).is_file()
    _, stages = read_dockerfile((ROOT / build["dockerfile"]).read_text())
    known = {text.partition("=")[0] for stage in stages for text in stage.all("ARG")}
    assert set(build["args"]) <= known and build["args"]["EXTRAS"] == "[pacs]"
    assert re.search(r"^pacs = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert service["image"].startswith(f"semigan:{monai_semigan.__version__}-")


def test_what_both_say_of_each_other_is_the_same():
    require_command(["semigan", *SERVICES["semigan"]["command"]])
    asked = options()
    assert asked["bundle"] in list_bundles()
    assert asked["allow"] == ORTHANC["DicomAet"] and asked["host"] == "0.0.0.0"
    assert asked["to"] == f"{ORTHANC['DicomAet']}@orthanc:{ORTHANC['DicomPort']}"
    assert ORTHANC["DicomModalities"] == {"semigan": [asked["aet"], "semigan", int(asked["port"])]}
    assert mounts(SERVICES["semigan"])[asked["output"]][1] == "rw"
    inside = mounts(SERVICES["orthanc"])
    program, settings = SERVICES["orthanc"]["entrypoint"]
    assert program == "Orthanc" and inside[settings] == ("./orthanc.json", "ro")
    assert inside[ORTHANC["StorageDirectory"]][1] == inside[ORTHANC["IndexDirectory"]][1] == "rw"


@pytest.mark.e2e
def test_both_work_together_with_other_addresses(tmp_path: Path, make_xray) -> None:
    """Not the containers, but what runs in them."""
    (port,) = free_ports(1)
    kept = ("DicomAlwaysAllowStore", "OverwriteInstances", "DicomAet")
    asked = options()
    with running_orthanc(
        tmp_path / "orthanc", [(asked["aet"], port)], **{name: ORTHANC[name] for name in kept}
    ) as archive:
        changed = {"host": "127.0.0.1", "port": port, "to": archive.dimse, "output": tmp_path / "node"}
        words = [f"--{name}={value}" for name, value in (asked | changed).items()]
        words += ["--quiet-seconds=0.5", "--device=cpu", "--steps=0", "--empty-seg=write"]
        command = [sys.executable, "-m", "monai_semigan.cli.main", "dicom", "serve", *words]
        made = dicom_files.instance(make_xray(64, 80)[0].astype(np.uint16), SOPClassUID=CR, Modality="CR")
        made.SeriesInstanceUID, made.PatientOrientation = generate_uid(), ["L", "F"]
        archive.stow(dicom_files.save(made, tmp_path / "one.dcm"))
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            assert any("ready" in line for line in process.stderr)
            (series,) = archive.series("CR")
            assert archive.store_at(asked["aet"].lower(), series)["FailedInstancesCount"] == 0
            deadline = time.monotonic() + 60
            while not (found := archive.series("SEG")):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.2)
        finally:
            process.kill()
            process.communicate()
        ((instance,),) = found.values()
        result = dcmread(io.BytesIO(archive.request(f"/instances/{instance}/file")))
    assert result.StudyInstanceUID == made.StudyInstanceUID
