"""A node from a received series to a delivered result, step by step, and again after a crash between any two."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import dicom_files
import numpy as np
import pytest
from pydicom import dcmread

from monai_semigan.errors import PeerError, TrainingError
from monai_semigan.pacs.lanes import dicom_formats
from monai_semigan.pacs.ledger import Ledger
from monai_semigan.pacs.routes import route_to
from monai_semigan.pacs.serving import Node, NodeOptions
from monai_semigan.pacs.status import node_status
from monai_semigan.segmentation.segmenter import SegmenterOptions
from monai_semigan.workflows.segment_options import SegmentOptions

CR = "1.2.840.10008.5.1.4.1.1.1"


class Archive:
    """A peer in memory: by UID, as a PACS keeps objects."""

    name = "archive"
    is_down = False

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.num_sent = 0

    def send(self, files: Sequence[Path]) -> None:
        if self.is_down:
            raise PeerError("archive cannot be reached.")
        for path in files:
            self.kept[str(dcmread(path).SOPInstanceUID)] = path.read_bytes()
            self.num_sent += 1


@pytest.fixture
def radiograph(make_xray: Callable, tmp_path: Path) -> Callable[..., bytes]:
    def make(series: str, *, seed: int = 0, **values: object) -> bytes:
        pixels = make_xray(64, 80, seed=seed)[0].astype(np.uint16)
        known = {
            "SOPClassUID": CR,
            "Modality": "CR",
            "SeriesInstanceUID": f"1.2.{series}",
            "SOPInstanceUID": f"1.3.{series}",
        }
        made = dicom_files.instance(pixels, **(known | values))
        made.PatientOrientation = ["L", "F"]
        return dicom_files.save(made, tmp_path / "made.dcm").read_bytes()

    return make


def node_in(folder: Path, bundle: Path, archive: Archive, **options: object) -> Node:
    segment = SegmentOptions(device="cpu", segmenter=SegmenterOptions(steps=0), formats=dicom_formats())
    made = Node(folder, [route_to(bundle)], [archive], NodeOptions(**({"quiet_s": 0.0, "segment": segment} | options)))
    made.load()
    made.sender.close()  # what is due is sent when the test says so
    made.sender._stop.clear()
    return made


def states(node: Node) -> dict[str, int]:
    return {state: count for state, count in node.lanes[0].manifest.counts().items() if count}


def test_a_series_becomes_a_result_and_comes_again_in_its_place(
    radiograph: Callable, tiny_bundle: Path, tmp_path: Path
) -> None:
    archive = Archive()
    with node_in(tmp_path / "node", tiny_bundle, archive) as node:
        node.store.keep(radiograph("1"))
        node.store.keep(radiograph("2", Modality="MR"))
        node.step()
        assert states(node) == {"done": 1}
        node.sender.send_due(node.ledger)
        before = dict(archive.kept)
        assert len(before) >= 1 and dcmread(tmp_path / "made.dcm").PatientID == "Secret-4711"
        for content in before.values():
            assert b"Secret-4711" in content, "the result is of the same patient"

        node.store.keep(radiograph("1"))
        node.step()
        node.sender.send_due(node.ledger)

        assert archive.kept.keys() == before.keys() and archive.num_sent == 2 * len(before)
        assert states(node) == {"done": 1}
    said = node_status(tmp_path / "node")
    assert said["series"] == {"arriving": 0, "queued": 1, "left": 1}
    assert "modality MR" in said["left"][0]["reason"] and said["deliveries"]["counts"] == {"sent": 1}
    assert "Secret" not in str(said) and "1.2." not in str(said)


def test_another_image_of_a_series_that_is_done_is_segmented_too(
    radiograph: Callable, tiny_bundle: Path, tmp_path: Path
) -> None:
    with node_in(tmp_path / "node", tiny_bundle, Archive()) as node:
        node.store.keep(radiograph("1"))
        node.step()
        node.store.keep(radiograph("1", seed=3, SOPInstanceUID="1.3.9"))
        node.step()

        assert states(node) == {"done": 2}
        assert {one.state for one in node.ledger.deliveries()} == {"waiting"}


def test_a_series_that_still_comes_in_is_not_begun(radiograph: Callable, tiny_bundle: Path, tmp_path: Path) -> None:
    with node_in(tmp_path / "node", tiny_bundle, Archive(), quiet_s=3600.0) as node:
        node.store.keep(radiograph("1"))
        node.step()

        assert states(node) == {}
    assert node_status(tmp_path / "node")["series"]["arriving"] == 1


def test_what_cannot_be_read_is_refused_with_its_reason(
    radiograph: Callable, tiny_bundle: Path, tmp_path: Path
) -> None:
    with node_in(tmp_path / "node", tiny_bundle, Archive()) as node:
        node.store.keep(radiograph("1", BitsStored=40))
        node.step()

        assert states(node) == {"refused": 1}
    (lane,) = node_status(tmp_path / "node")["lanes"].values()
    assert lane["problems"][0]["reason"] and "Secret" not in str(lane)


def test_what_was_delivered_is_deleted_and_what_was_not_stays(
    radiograph: Callable, tiny_bundle: Path, tmp_path: Path
) -> None:
    archive = Archive()
    archive.is_down = True
    with node_in(tmp_path / "node", tiny_bundle, archive, keep_h=0.0) as node:
        node.store.keep(radiograph("1"))
        node.store.keep(radiograph("2", Modality="MR"))  # nobody takes it
        node.step()
        node.sender.send_due(node.ledger)
        node.clean()
        assert len(node.store.series()) == 1 and states(node) == {"done": 1}
        archive.is_down = False
        node.ledger.retry()
        node.sender.send_due(node.ledger)
        node.clean()

        assert node.store.series() == [] and states(node) == {} and node.ledger.series() == {}
        assert list((tmp_path / "node").rglob("*.dcm")) == []
        assert len(archive.kept) >= 1


@pytest.mark.parametrize("moment", ["before the ledger", "before the mark", "before the delivery", "before deletion"])
def test_a_crash_between_two_writes_is_made_good(
    moment: str, radiograph: Callable, tiny_bundle: Path, tmp_path: Path
) -> None:
    archive = Archive()
    with node_in(tmp_path / "node", tiny_bundle, archive, keep_h=0.0) as node:
        name = node.store.keep(radiograph("1")).series
        if moment == "before the ledger":
            node.lanes[0].manifest.add(node.lanes[0].units(node.store.folder / name), may_rename=True)
        elif moment == "before the mark":
            node.store.complete(0)
            node._enter(name)
        else:
            node.step()
            if moment == "before the delivery":
                node.ledger.recall(node.lanes[0].name, node.lanes[0].manifest.names("done"))
            else:
                node.lanes[0].manifest.remove(node.lanes[0].manifest.names("done"))

    with node_in(tmp_path / "node", tiny_bundle, archive, keep_h=24.0) as again:
        again.step()
        again.sender.send_due(again.ledger)

        if moment != "before deletion":
            assert states(again) == {"done": 1} and len(archive.kept) >= 1
        else:
            assert list((tmp_path / "node" / "results").rglob("*.dcm")) == [], "a result that no row knows is deleted"


def test_with_another_bundle_what_waits_goes_there(
    radiograph: Callable, tiny_bundle: Path, edit_bundle: Callable, tmp_path: Path
) -> None:
    archive = Archive()
    with node_in(tmp_path / "node", tiny_bundle, archive) as node:
        node.store.keep(radiograph("1"))
        node.enter()
        assert states(node) == {"waiting": 1}
    shutil.copytree(tiny_bundle, tmp_path / "other")
    edit_bundle(tmp_path / "other", inversion={"steps": 3})

    with node_in(tmp_path / "node", tmp_path / "other", archive) as again:
        again.step()
        assert states(again) == {"done": 1} and again.lanes[0].name != node.lanes[0].name


def test_one_process_works_in_a_folder(tiny_bundle: Path, tmp_path: Path) -> None:
    with Node(tmp_path / "node", [], []), pytest.raises(TrainingError, match="one run at a time"):
        Node(tmp_path / "node", [], [])


def test_a_folder_that_is_no_node_and_a_damaged_ledger_are_said(tmp_path: Path) -> None:
    from monai_semigan.errors import InputError

    with pytest.raises(InputError, match=r"holds no pacs\.sqlite"):
        node_status(tmp_path)
    Ledger(tmp_path, create=True).close()
    assert (tmp_path / "pacs.sqlite").stat().st_mode & 0o777 == 0o600
    (tmp_path / "pacs.sqlite").write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(InputError, match="damaged"):
        node_status(tmp_path)


def test_opening_a_ledger_twice_in_one_process_loses_nothing_to_others(tmp_path: Path) -> None:
    """Closing a file drops a process' locks on it; without them another process would remove the log in use."""
    import subprocess
    import sys

    read = "import sys; from monai_semigan.pacs.ledger import Ledger; print(Ledger(sys.argv[1]).fact('x'))"
    words = [sys.executable, "-P", "-c", read, str(tmp_path)]
    with Ledger(tmp_path, create=True) as first, Ledger(tmp_path):
        for value in ("1", "2"):
            first.remember("x", value)
            seen = subprocess.run(words, capture_output=True, text=True, check=False)
            assert seen.stdout.strip() == value, seen.stderr


def test_a_series_that_ends_in_an_odd_error_does_not_hold_up_others(
    radiograph: Callable, tiny_bundle: Path, tmp_path: Path, monkeypatch
) -> None:
    from monai_semigan.pacs import serving

    plain = serving.find_series

    def odd(files):
        if files[0].parent.name == first:
            raise ZeroDivisionError("Secret^Name")
        return plain(files)

    monkeypatch.setattr(serving, "find_series", odd)
    with node_in(tmp_path / "node", tiny_bundle, Archive()) as node:
        first = node.store.keep(radiograph("1")).series
        node.store.keep(radiograph("2"))
        node.step()

        assert states(node) == {"done": 1} and node.store.num_arriving == 0
    (left,) = node_status(tmp_path / "node")["left"]
    assert left["state"] == "refused" and "ZeroDivisionError" in left["reason"] and "Secret" not in str(left)
