"""A cohort gives what `segment_files` gives, each case once, and goes on after whatever ended it."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import phantoms
import pytest
from PIL import Image
from segment_run import label_digests

from monai_semigan import SegmenterOptions, SegmentOptions, segment_files
from monai_semigan.cohort import working
from monai_semigan.cohort.engines import ShardEngine
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.naming import MANIFEST_NAME
from monai_semigan.cohort.rows import Part
from monai_semigan.cohort.running import CohortOptions, cohort_status, plan_cohort, report_cohort, retry_cohort
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.image_file import ImageFile

QUICK = SegmentOptions(segmenter=SegmenterOptions(steps=0), device="cpu")


def set_row(folder: Path, case: str, **values: object) -> None:
    base = sqlite3.connect(folder / MANIFEST_NAME)
    names = ", ".join(f"{name} = ?" for name in values)
    base.execute(f"UPDATE cases SET {names} WHERE case_name = ?", (*values.values(), case))
    base.commit()
    base.close()


def gone_process() -> str:
    code = "from monai_semigan.atomic import owner_name; print(owner_name())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def rows(folder: Path) -> dict[str, object]:
    with Manifest(folder) as manifest:
        return {row.case: row for row in manifest.rows()}


def test_the_same_as_segment_files(make_images, run, tiny_bundle, tmp_path) -> None:
    images = make_images(6)
    events = []

    outcome = run(images, tmp_path / "out", progress=events.append)

    segment_files(images, bundle=tiny_bundle, output=tmp_path / "single", options=QUICK)
    assert label_digests(tmp_path / "out") == label_digests(tmp_path / "single") and len(events) == 6
    first, second = (json.loads((tmp_path / name / "x03" / "case.json").read_text()) for name in ("out", "single"))
    timeless = [{key: value for key, value in found.items() if key != "seconds"} for found in (first, second)]
    assert timeless[0] == timeless[1]
    assert outcome.counts["done"] == 6 and not outcome.has_failures
    assert outcome.report.segmentation.skipped == ()
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [case["case"] for case in written["cases"]] == [f"x{at:02d}" for at in range(6)]
    row = rows(tmp_path / "out")["x03"]
    assert (row.digest, row.attempts, row.owner) == (first["source"]["sha256"], 1, "")
    assert row.seconds == pytest.approx(sum(first["seconds"].values()))


def test_a_second_call_makes_nothing_again_and_takes_further_inputs(make_images, run, tmp_path) -> None:
    images = make_images(3)
    run(images / "x00.png", tmp_path / "out")
    before = (tmp_path / "out" / "x00" / "case.json").stat().st_mtime_ns
    events = []

    outcome = run([images, images / "x01.png"], tmp_path / "out", progress=events.append)
    again = run([], tmp_path / "out", progress=events.append)

    assert [event.case for event in events] == ["x01", "x02"]
    assert (tmp_path / "out" / "x00" / "case.json").stat().st_mtime_ns == before
    assert outcome.report.segmentation.skipped == ("x00",)
    assert again.report.segmentation.skipped == ("x00", "x01", "x02")


def test_both_orders_of_a_crash_are_repaired(make_images, run, tmp_path) -> None:
    images = make_images(3)
    run(images, tmp_path / "out")
    folder, owner, events = tmp_path / "out", gone_process(), []
    untouched = (folder / "x00" / "case.json").stat().st_mtime_ns
    set_row(folder, "x00", state="running", owner=owner, digest="")  # renamed, but the row was not written
    shutil.rmtree(folder / "x01")  # the row without its folder
    set_row(folder, "x02", state="running", owner=owner)
    (folder / "x02" / "label.png").unlink()  # not whole

    run(images, folder, progress=events.append)

    assert [event.case for event in events] == ["x01", "x02"]
    assert (folder / "x00" / "case.json").stat().st_mtime_ns == untouched
    assert {row.state for row in rows(folder).values()} == {"done"} and len(rows(folder)["x00"].digest) == 64
    assert sorted(label_digests(folder)) == ["x00", "x01", "x02"]


def test_cases_of_a_process_lost_meanwhile_are_taken_over(make_images, run, tmp_path) -> None:
    images, owner = make_images(3), gone_process()

    def lose(event) -> None:
        if event.case == "x00":
            set_row(tmp_path / "out", "x02", state="running", owner=owner, attempts=1)

    one = SegmentOptions(segmenter=SegmenterOptions(steps=0, batch_size=1), device="cpu")
    outcome = run(images, tmp_path / "out", progress=lose, segment=one)

    assert outcome.counts["done"] == 3 and rows(tmp_path / "out")["x02"].attempts == 2


def test_while_another_process_works_it_is_left_to_write_the_report(make_images, run, tmp_path) -> None:
    images = make_images(2)
    run(images / "x00.png", tmp_path / "out")
    code = "from monai_semigan.atomic import owner_name; print(owner_name(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        set_row(tmp_path / "out", "x00", state="running", owner=other.stdout.readline().strip())

        outcome = run(images, tmp_path / "out")
        status = cohort_status(tmp_path / "out")
        other.communicate("\n")

    assert [worker["is_lost"] for worker in status["workers"]] == [False]
    assert cohort_status(tmp_path / "out")["workers"][0]["is_lost"]
    assert outcome.report is None and outcome.counts["running"] == 1 and outcome.counts["done"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_was_taken_is_given_back_when_the_process_is_ended(error, make_images, run, tmp_path, monkeypatch) -> None:
    images, read = make_images(6), ImageFile.read

    def interrupted(self):
        if self.path.stem == "x05":
            raise error
        return read(self)

    monkeypatch.setattr(ImageFile, "read", interrupted)
    with pytest.raises(error):
        run(images, tmp_path / "out")

    found = rows(tmp_path / "out")
    assert [row.state for row in found.values()] == ["done"] * 4 + ["waiting"] * 2
    assert {row.owner for row in found.values()} == {""} and found["x05"].attempts == 0
    assert list((tmp_path / "out").glob(".*.claim")) == []


def test_failures_have_reasons_and_are_taken_again_on_request(make_images, run, tmp_path, monkeypatch) -> None:
    images, read = make_images(4), ImageFile.read
    (images / "x01.png").write_bytes(b"no image")

    def broken(self):
        if self.path.stem == "x02":
            raise KeyError("secret of a library")
        return read(self)

    monkeypatch.setattr(ImageFile, "read", broken)
    outcome = run(images, tmp_path / "out")
    monkeypatch.undo()

    found = rows(tmp_path / "out")
    assert outcome.has_failures and outcome.counts["done"] == 2
    assert found["x01"].state == "refused" and "must be a PNG, JPEG, TIFF or DICOM image" in found["x01"].reason
    assert found["x02"].state == "failed" and "KeyError" in found["x02"].reason
    assert "secret" not in (tmp_path / "out" / "report.json").read_text()
    assert {item.source for item in outcome.report.segmentation.failures} == {"x01", "x02"}

    events = []
    assert run(images, tmp_path / "out", progress=events.append).has_failures and events == []
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8), (40, 1))).save(images / "x01.png")
    run(images, tmp_path / "out", progress=events.append, where=("status=failed",))
    assert [event.case for event in events] == ["x02"]
    assert retry_cohort(tmp_path / "out", ("status=failed",)) == 0
    assert retry_cohort(tmp_path / "out") == 1
    assert not run(images, tmp_path / "out").has_failures

    assert run(images, tmp_path / "out", retry_failed=True).counts["done"] == 4


def test_parts_share_the_rows_and_the_last_one_reports_over_all(make_images, run, tmp_path) -> None:
    images, seen = make_images(7), []

    for index in range(3):
        events = []
        outcome = run(images, tmp_path / "out", engine=ShardEngine(Part(index, 3)), progress=events.append)
        assert all(Part(index, 3).holds(event.case) for event in events)
        seen += [event.case for event in events]

    assert sorted(seen) == [f"x{at:02d}" for at in range(7)]
    assert len(outcome.report.segmentation.cases) == 7


def test_another_bundle_or_other_options_are_refused(make_images, run, tiny_bundle, tmp_path, edit_bundle) -> None:
    images = make_images(2)
    run(images, tmp_path / "out")
    other = SegmentOptions(segmenter=SegmenterOptions(steps=1), device="cpu")

    with pytest.raises(ConfigError, match="begun with, but inversion differ"):
        run(images, tmp_path / "out", segment=other)
    shutil.copytree(tiny_bundle, tmp_path / "changed")
    edit_bundle(tmp_path / "changed", inversion={"steps": 3})
    with pytest.raises(ConfigError, match="`bundle` must be the one"):
        run(images, tmp_path / "out", bundle=tmp_path / "changed")
    with pytest.raises(ConfigError, match="`overwrite` must be off"):
        CohortOptions(segment=SegmentOptions(overwrite=True))
    assert len(rows(tmp_path / "out")) == 2


def test_a_moved_folder_goes_on(make_images, run, tmp_path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    make_images(3).rename(study / "images")
    run(study / "images" / "x00.png", study / "out")
    events = []

    study.rename(tmp_path / "moved")
    run([tmp_path / "moved" / "images"], tmp_path / "moved" / "out", progress=events.append)

    assert [event.case for event in events] == ["x01", "x02"]
    assert {row.path.parent for row in rows(tmp_path / "moved" / "out").values()} == {tmp_path / "moved" / "images"}

    (tmp_path / "moved" / "out").rename(tmp_path / "elsewhere")
    again = run([tmp_path / "moved" / "images"], tmp_path / "elsewhere")
    assert again.counts["done"] == 3 and len(again.report.segmentation.skipped) == 3


def write_table(path: Path, lines: list[list[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return path


def test_a_table_is_scored_per_patient_and_by_group(make_images, run, tmp_path, make_xray) -> None:
    images = make_images(8)
    run(images, tmp_path / "first")
    head = ["Case", "PATH", "Patient", "reference", "Site"]
    lines = [head]
    for at in range(8):
        label = np.array(Image.open(tmp_path / "first" / f"x{at:02d}" / "label.png"))
        reference = tmp_path / f"reference{at}.png"
        wanted = label if at < 4 else 1 - label  # site B is wrong everywhere
        Image.fromarray(wanted.astype(np.uint8)).save(reference)
        lines.append([f"c{at}", f"images/x{at:02d}.png", f"Geheim{at // 2}", reference.name, "A" if at < 4 else "B"])
    lines[1][3] = "missing.png"
    lines[8][2] = ""  # of an unknown patient: nobody else's

    outcome = run(write_table(tmp_path / "cases.csv", lines), tmp_path / "out")

    report = outcome.report
    assert report.unscored == {"c0": "its reference does not exist"} and outcome.has_failures
    assert report.evaluation.counts["patients"] == 5 and report.evaluation.counts["cases"] == 7
    groups = list(csv.DictReader((tmp_path / "out" / "groups.csv").read_text().splitlines()))
    found = {row["value"]: (row["num_cases"], row["num_patients"], float(row["dice"])) for row in groups}
    assert found == {"A": ("3", "2", 1.0), "B": ("4", "3", 0.0)}
    assert {row["column"] for row in groups} == {"site"} and "permutation" in groups[0]["test"]
    assert {name: row.dice for name, row in rows(tmp_path / "out").items()} == {
        "c0": None, **{f"c{at}": 1.0 for at in (1, 2, 3)}, **{f"c{at}": 0.0 for at in (4, 5, 6, 7)}
    }  # fmt: skip
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and not path.name.startswith(MANIFEST_NAME):
            assert b"Geheim" not in path.read_bytes(), path


def test_neither_path_nor_patient_is_told(make_images, run, tmp_path, caplog) -> None:
    folder = tmp_path / "Geheim_Grete"
    make_images(3).rename(folder)
    (folder / "x01.png").write_bytes(b"no image")
    lines = [["case", "path", "patient"]] + [[f"c{at}", f"Geheim_Grete/x{at:02d}.png", "PID47"] for at in range(3)]
    lines += [["c3", "Geheim_Grete/gone.png", "PID47"], ["c4", "Geheim_Grete", "PID48"]]
    events = []
    caplog.set_level(logging.INFO)

    run(write_table(tmp_path / "cases.csv", lines), tmp_path / "out", progress=events.append)

    status = json.dumps(cohort_status(tmp_path / "out"))
    told = caplog.text + repr(events) + status + (tmp_path / "out" / "report.json").read_text()
    assert [event.state for event in events].count("refused") == 3
    for secret in ("Geheim", "PID47", "PID48", "gone.png", str(tmp_path)):
        assert secret not in told, secret


def test_a_plan_writes_nothing_and_counts_what_waits(make_images, run, tiny_bundle, tmp_path) -> None:
    images = make_images(5)
    options = CohortOptions(segment=QUICK)

    planned = plan_cohort(images, bundle=tiny_bundle, output=tmp_path / "out", options=options, num_parts=2)

    assert sum(planned) == 5 and not (tmp_path / "out").exists()
    run(images / "x00.png", tmp_path / "out")
    assert sum(plan_cohort(images, bundle=tiny_bundle, output=tmp_path / "out", options=options, num_parts=3)) == 4
    assert len(rows(tmp_path / "out")) == 1


def test_without_its_manifest_finished_cases_are_found_by_content(make_images, run, tmp_path) -> None:
    images, manifest, events = make_images(3), tmp_path / "out" / MANIFEST_NAME, []
    run(images, tmp_path / "out")
    before = (tmp_path / "out" / "x00" / "case.json").stat().st_mtime_ns
    manifest.write_bytes(b"damaged" * 1000)
    with pytest.raises(InputError, match="is damaged"):
        run(images, tmp_path / "out")

    manifest.rename(tmp_path / "old.sqlite")
    images.rename(tmp_path / "moved")
    run(tmp_path / "moved", tmp_path / "out", progress=events.append)

    assert [event.state for event in events] == ["done"] * 3
    assert (tmp_path / "out" / "x00" / "case.json").stat().st_mtime_ns == before


def test_nothing_to_begin_with_is_an_error(run, tmp_path) -> None:
    with pytest.raises(InputError, match="no cohort was begun"):
        run([], tmp_path / "out")
    with pytest.raises(InputError, match="output folder of a cohort"):
        report_cohort(tmp_path)


def test_volumes_are_units_whatever_holds_them(run, volume_bundle, tmp_path) -> None:
    phantoms.write_series(tmp_path / "in" / "ct", phantoms.phantom(), "CT")
    shutil.make_archive(str(tmp_path / "in" / "packed"), "zip", tmp_path / "in" / "ct")
    (tmp_path / "in" / "broken.zip").write_bytes(b"no zip")
    inputs = [tmp_path / "in" / name for name in ("ct", "packed.zip", "broken.zip")]

    outcome = run(inputs, tmp_path / "out", bundle=volume_bundle)
    again = run(inputs, tmp_path / "out", bundle=volume_bundle)
    segment_files(tmp_path / "in" / "ct", bundle=volume_bundle, output=tmp_path / "single", options=QUICK)

    labels = {path.parent.name: path.read_bytes() for path in (tmp_path / "out").glob("*/label.nii.gz")}
    assert sorted(labels) == ["ct", "packed"] and list(outcome.unused) == ["broken.zip"]
    assert labels["ct"] == (tmp_path / "single" / "ct" / "label.nii.gz").read_bytes() == labels["packed"]
    assert len(again.report.segmentation.skipped) == 2
    assert list((tmp_path / "out").glob(".*.tmp")) == []


def test_a_report_of_too_many_cases_shows_the_doubtful_ones(make_images, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("monai_semigan.cohort.reporting.MAX_PICTURED", 2)

    report = run(make_images(4), tmp_path / "out").report.segmentation

    by_doubt = sorted(rows(tmp_path / "out").values(), key=lambda row: (row.warnings == 0, row.expected_dice or 0))
    pictured = {case.record.case for case in report.cases if case.pictures}
    assert len(report.cases) == 4 and pictured == {row.case for row in by_doubt[:2]}


def test_work_can_be_sent_to_another_process(tiny_bundle, tmp_path) -> None:
    work = working.Work(folder=tmp_path, bundle=tiny_bundle, options=QUICK, chosen=("a",))

    assert pickle.loads(pickle.dumps(work)) == work
