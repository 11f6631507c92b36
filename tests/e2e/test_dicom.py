"""``semigan dicom`` beside a real Orthanc: results come back, once each, whatever is killed."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dicom_files
import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from dicom_objects import measured
from known_xrays import knowing
from orthanc_server import Orthanc, free_ports, running_orthanc
from pydicom import dcmread
from segment_run import segment

from monai_semigan.cli.main import cli
from monai_semigan.pacs.ledger import Ledger
from monai_semigan.pacs.peer import parse_peer
from monai_semigan.pacs.store import short_name
from monai_semigan.writers.dicom_options import DicomOptions

pytest.importorskip("pynetdicom")
pytest.importorskip("dicomweb_client")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

CR = "1.2.840.10008.5.1.4.1.1.1"

NUM_KILLS = 4


def run(*arguments: object):
    return CliRunner().invoke(cli, ["dicom", *map(str, arguments)], standalone_mode=False)


class Process:
    """A command at work, with what it says on stderr in a file."""

    def __init__(self, log: Path, *arguments: object) -> None:
        self.log = log
        words = [sys.executable, "-m", "monai_semigan.cli.main", "-v", "dicom", *map(str, arguments)]
        # A job in the background of a script is born deaf to Ctrl-C, and so are its children.
        heard = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv({words[0]!r}, {words!r})"
        with log.open("a") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", heard], stderr=stream, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, fits: Callable[[], object], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not fits():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, f"no {what}: {self.said}"
            time.sleep(0.1)


@contextmanager
def working(log: Path, *arguments: object, until: str = "ready") -> Iterator[Process]:
    log.write_text("")
    made = Process(log, *arguments)
    try:
        made.until(lambda: until in made.said, until)
        yield made
    finally:
        made.process.kill()
        made.process.wait()


@pytest.fixture
def bundles(
    tiny_bundle: Path, tmp_path: Path, request: pytest.FixtureRequest, make_xray, edit_bundle
) -> tuple[Path, Path]:
    """A bundle for X-rays, which knows what they look like, and one for volumes; no image is unlike theirs."""
    xrays = knowing(shutil.copytree(tiny_bundle, tmp_path / "xrays"), make_xray)
    volumes = request.getfixturevalue("volume_bundle")  # it makes another of the tiny one
    for bundle in (xrays, volumes):
        edit_bundle(bundle, max_image_error=10.0)  # random weights redraw nothing
    return xrays, volumes


@pytest.fixture
def radiographs(make_xray: Callable, tmp_path: Path) -> Callable[[int], list[Path]]:
    def make(count: int) -> list[Path]:
        made = []
        for at in range(count):
            pixels = make_xray(64, 80, seed=at)[0].astype(np.uint16)
            uid = {
                "SeriesInstanceUID": f"1.2.7.{at}",
                "SOPInstanceUID": f"1.2.8.{at}",
                "StudyInstanceUID": f"1.2.9.{at}",
            }
            dataset = dicom_files.instance(pixels, SOPClassUID=CR, Modality="CR", **uid)
            dataset.PatientOrientation, dataset.PixelSpacing = ["L", "F"], [0.4, 0.5]
            made.append(dicom_files.save(dataset, tmp_path / "cr" / f"{at}.dcm"))
        return made

    return make


def rules_file(folder: Path, xrays: Path, volumes: Path) -> Path:
    path = folder / "rules.json"
    rules = [{"bundle": str(volumes), "modality": ["CT"], "plane": "axial", "min_slices": 3}, {"bundle": str(xrays)}]
    path.write_text(json.dumps({"rules": rules}))
    return path


def objects(archive: Orthanc, modality: str) -> list[bytes]:
    names = [name for instances in archive.series(modality).values() for name in instances]
    return [archive.request(f"/instances/{name}/file") for name in names]


def delivered(node: Path) -> dict[str, int]:
    found = json.loads(run("status", node, "--json").stdout)
    return found["deliveries"]["counts"]


def found_and_fetched(archive: Orthanc, ct: list[Path], cr: Path, port: int, tmp_path: Path) -> None:
    """Search and fetch in every way; what came by DICOMweb and C-GET lies in ``pulled``."""
    pulled = run("pull", archive.web, "--study", dcmread(ct[0]).StudyInstanceUID, "-o", tmp_path / "pulled")
    assert pulled.return_value == 0, pulled.output
    by_dimse = run("pull", archive.dimse, "--study", dcmread(cr).StudyInstanceUID, "-o", tmp_path / "pulled")
    assert by_dimse.return_value == 0, by_dimse.output
    both = ("--study", dcmread(ct[0]).StudyInstanceUID, "--study", dcmread(cr).StudyInstanceUID)
    again = run("pull", archive.dimse, *both, "-o", tmp_path / "pulled")
    assert again.stdout.startswith("1 studies done") and ", 1 before, 0 failed" in again.stdout, "one came by DICOMweb"
    moved = ["--study", dcmread(ct[0]).StudyInstanceUID, "--move", "--port", port, "--allow", "ORTHANC"]
    assert run("pull", archive.dimse, *moved, "-o", tmp_path / "moved").return_value == 0
    assert len(list((tmp_path / "moved").rglob("*.dcm"))) == len(ct), "images alone are taken"
    for peer in (archive.web, archive.dimse):
        found = run("find", peer, "--patient-id", "Secret-4711", "--json")
        (row,) = json.loads(found.stdout)["studies"]
        assert row["PatientID"] == "Secret-4711" and "SEG" in row["ModalitiesInStudy"]


def by_web(archive: Orthanc, like: Path, path: Path) -> Path:
    """Fetch the instance of a file's UIDs by WADO-RS."""
    wanted = dcmread(like, stop_before_pixels=True)
    path.write_bytes(archive.wado(wanted.StudyInstanceUID, wanted.SeriesInstanceUID, wanted.SOPInstanceUID))
    return path


def said_by(case: dict) -> dict[str, dict[str, float]]:
    """What a structured report must say of a case.json, and nothing else."""
    amounts = {"volume_ml": "Volume", "area_mm2": "Area", "expected_dice": "Expected Dice"}
    found = {
        part["name"]: {meaning: part[name] for name, meaning in amounts.items() if part[name] is not None}
        for part in case["classes"]
    }
    error, dice = case["reconstruction"], [part["expected_dice"] for part in case["classes"]]
    whole = {
        "Lowest expected Dice": min(dice),
        "Reconstruction error": error["encoder"],
        "Reconstruction error, refined": error["refined"],
        "Usual reconstruction error, at most": error["limit"],
    }
    if case["ood"]:
        whole["Out-of-distribution score"] = case["ood"]["score"]
        whole["Usual out-of-distribution score, at most"] = case["ood"]["limit"]
    return {**found, "Whole source": whole}


def records_of(node: Path) -> dict[str, dict]:
    """The case.json of each result of a node, by image and volume: the bytes of files are others on their way."""
    records = [json.loads(path.read_text()) for path in (node / "results").glob("*/*/case.json")]
    assert len(records) == 2
    return {record["kind"]: record for record in records}


def test_a_study_goes_round_and_comes_back_as_segment_would_write_it(
    bundles: tuple[Path, Path], radiographs: Callable, tmp_path: Path
) -> None:
    ct = phantoms.write_series(tmp_path / "ct", phantoms.phantom(), "CT")
    (cr,) = radiographs(1)
    port, metrics = free_ports(2)
    nodes = [tmp_path / "node", tmp_path / "second"]
    with running_orthanc(tmp_path / "orthanc", [("SEMIGAN", port)]) as archive:
        assert run("push", tmp_path / "ct", cr, "--to", archive.web).return_value == 0
        words = ["serve", "--port", port, "--rules", rules_file(tmp_path, *bundles), "--quiet-seconds", 1]
        words += ["--to", archive.dimse, "--to", archive.web, "--allow", "ORTHANC", "--metrics-port", metrics]
        words += ["--device", "cpu", "--steps", 0, "--empty-seg", "write"]

        def send() -> None:
            for name in archive.series("CT", "CR"):
                assert archive.store_at("semigan", name)["FailedInstancesCount"] == 0

        with working(tmp_path / "log", *words, "-o", nodes[0]) as server:
            send()
            server.until(lambda: delivered(nodes[0]) == {"sent": 4}, "delivery of two cases to two peers")
            first = archive.rest("/statistics")["CountInstances"]
            segmentations = objects(archive, "SEG")

            send()
            time.sleep(3)
            server.until(lambda: delivered(nodes[0]) == {"sent": 4}, "second delivery")
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/health", timeout=10) as answer:
                assert json.loads(answer.read()) == {"ok": True}
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as answer:
                numbers = dict(line.split() for line in answer.read().decode().splitlines() if line[0] != "#")
            assert numbers["semigan_dicom_deliveries_sent_total"] == "8"
            assert numbers["semigan_dicom_instances_received_total"] == str(2 * (len(ct) + 1))
            assert archive.rest("/statistics")["CountInstances"] == first, "replaced, not added"
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=60) == 0 and server.said.endswith("stopped\n")
        for secret in ("Secret", "phantom", "Phantom", *(str(dcmread(path).SeriesInstanceUID) for path in (ct[0], cr))):
            assert secret not in server.said and secret not in json.dumps(numbers)
        assert len(segmentations) == 2
        with working(tmp_path / "log", *words, "-o", nodes[1]) as server:  # all is made again, knowing of nothing
            send()
            server.until(lambda: delivered(nodes[1]) == {"sent": 4}, "delivery of the second node")
        assert archive.rest("/statistics")["CountInstances"] == first, "made twice, there once"
        found_and_fetched(archive, ct, cr, port, tmp_path)
        for bundle, source in ((bundles[1], tmp_path / "ct"), (bundles[0], cr)):
            came_back_as_segmented(archive, bundle, source, nodes, tmp_path)
    kept = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in (tmp_path / "pulled").rglob("*.dcm")}
    assert {str(made.SOPInstanceUID) for made in map(dcmread, map(io.BytesIO, segmentations))} <= kept


def came_back_as_segmented(archive: Orthanc, bundle: Path, source: Path, nodes: list[Path], tmp_path: Path) -> None:
    """What DICOMweb gives is what `segment` makes: voxels of the SEG, and each number of the report."""
    single = tmp_path / f"single-{source.stem}"
    segment(
        source, bundle=bundle, output=single, device="cpu", steps=0, formats=("dicom-seg", "dicom-sr"),
        dicom=DicomOptions(empty="write"),
    )  # fmt: skip
    (case,) = json.loads((single / "report.json").read_text())["cases"]
    written = single / case["case"]
    expected = dcmread(written / "seg.dcm")
    found = dcmread(by_web(archive, written / "seg.dcm", tmp_path / "seg.dcm"))
    assert expected.pixel_array.any(), "something was found"
    np.testing.assert_array_equal(found.pixel_array, expected.pixel_array)
    assert found.PatientID == expected.PatientID
    numbers = measured(by_web(archive, written / "sr.dcm", tmp_path / "sr.dcm"))
    assert numbers == said_by(case)
    assert all({"Expected Dice"} < group.keys() for name, group in numbers.items() if name != "Whole source")
    assert ("Out-of-distribution score" in numbers["Whole source"]) == (bundle.name == "xrays")
    for node in nodes:
        assert said_by(records_of(node)[case["kind"]]) == numbers


def test_killed_at_any_moment_each_series_has_one_result(
    bundles: tuple[Path, Path], radiographs: Callable, tmp_path: Path
) -> None:
    node, images, rng = tmp_path / "node", radiographs(12), random.Random(5)
    (port,) = free_ports(1)
    acknowledged: list[Path] = []
    with running_orthanc(tmp_path / "orthanc") as archive:
        words = ["serve", "--port", port, "-b", bundles[0], "-o", node, "--quiet-seconds", 0.5, "--to", archive.web]
        words += ["--device", "cpu", "--steps", 20, "--empty-seg", "write"]
        waiting = list(images)
        for kill in range(NUM_KILLS):
            with working(tmp_path / "log", *words, until="listens"):
                for _ in range(3):
                    parse_peer(f"SEMIGAN@127.0.0.1:{port}").send(waiting[:1])
                    acknowledged.append(waiting.pop(0))
                time.sleep(rng.uniform(0, 3 + kill))
        with working(tmp_path / "log", *words) as last:
            last.until(lambda: delivered(node) == {"sent": len(acknowledged)}, "delivery of all")
        segmentations = [dcmread(io.BytesIO(content)) for content in objects(archive, "SEG")]
    assert len(acknowledged) == 12
    kept = {path.stem for path in (node / "received").rglob("*.dcm")}
    assert kept == {short_name(dcmread(path).SOPInstanceUID) for path in acknowledged}
    assert sorted(made.StudyInstanceUID for made in segmentations) == sorted(f"1.2.9.{at}" for at in range(12))


def test_an_archive_is_watched_and_its_changes_are_read_once(
    bundles: tuple[Path, Path], radiographs: Callable, tmp_path: Path
) -> None:
    node, (first, second) = tmp_path / "node", radiographs(2)
    with running_orthanc(tmp_path / "orthanc") as archive:
        words = ["watch", archive.url, "-b", bundles[0], "-o", node, "--to", archive.web, "--every", 0.3]
        words += ["--quiet-seconds", 0.5, "--device", "cpu", "--steps", 0, "--empty-seg", "write"]
        parse_peer(archive.dimse).send([first])
        with working(tmp_path / "log", *words) as watching:
            watching.until(lambda: delivered(node) == {"sent": 1}, "delivery of the first")
        with Ledger(node) as ledger:
            seen = int(ledger.fact(f"changes of {archive.url}") or 0)
        assert seen > 0
        parse_peer(archive.dimse).send([second])
        with working(tmp_path / "log", *words) as watching:
            watching.until(lambda: delivered(node) == {"sent": 2}, "delivery of the second")
        assert len(objects(archive, "SEG")) == 2


def test_wrong_use_and_a_port_in_use_are_one_line(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    import socket

    both = run("serve", "-b", bundles[0], "--rules", rules_file(tmp_path, *bundles), "-o", tmp_path / "node")
    assert "one of --rules and --bundle" in str(both.exception)
    wrong = run("serve", "-b", bundles[0], "--to", "nowhere", "-o", tmp_path / "node")
    assert "`to` must be AET@HOST:PORT" in str(wrong.exception)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run("serve", "-b", bundles[0], "--port", port, "-o", tmp_path / "node")
    assert f"nobody listens on, got {port}" in str(refused.exception)
    assert "Secret" not in str(refused.exception)
