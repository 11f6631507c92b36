# SPDX-License-Identifier: Apache-2.0
"""``semigan segment`` beside another run, ended from outside, and gone on with."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable

import phantoms
import pytest
from segment_run import label_digests, names, reasons, segment

from monai_semigan import atomic
from monai_semigan.workflows.claims import take_claim
from monai_semigan.workflows.finished_cases import location_digest

pytestmark = pytest.mark.e2e

SLOW = "import time; from monai_semigan.latent.inversion import Inversion as I; f = I.__call__\n"
SLOW += "I.__call__ = lambda s, *a, **k: (time.sleep(60) if GO() else None, f(s, *a, **k))[1]\n"


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "monai_semigan.cli.main", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_two_runs_at_once_into_one_folder(xray_files, tiny_bundle, tmp_path) -> None:
    """Equal names of different images: every image has one case, and its own label is in it."""
    inputs = {}
    for name, shift in (("a", 0), ("b", 2)):
        folder = inputs[name] = tmp_path / name
        folder.mkdir()
        for at in range(2):
            (folder / f"x{at}.png").write_bytes((xray_files / "images" / f"case{at + shift}.png").read_bytes())
    processes = [
        start("segment", folder, "-b", tiny_bundle, "-o", tmp_path / "out", "--json") for folder in inputs.values()
    ]
    reports = [json.loads(process.communicate(timeout=240)[0]) for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    cases = [case for report in reports for case in report["cases"]]
    assert sorted(case["case"] for case in cases) == ["x0", "x0-2", "x1", "x1-2"]
    wanted = {hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("[ab]/*.png")}
    assert {case["source"]["sha256"] for case in cases} == wanted
    for case in cases:
        written = json.loads((tmp_path / "out" / case["case"] / "case.json").read_text())
        assert written["source"]["sha256"] == case["source"]["sha256"]
        (source,) = [
            path
            for path in tmp_path.glob("[ab]/*.png")
            if hashlib.sha256(path.read_bytes()).hexdigest() == case["source"]["sha256"]
        ]
        segment(source, bundle=tiny_bundle, output=tmp_path / "lone" / case["case"])
        label = tmp_path / "lone" / case["case"] / source.stem / "label.png"
        assert label.read_bytes() == (tmp_path / "out" / case["case"] / "label.png").read_bytes()
    assert not list((tmp_path / "out").glob(".*"))
    for folder in inputs.values():
        again = segment(folder, bundle=tiny_bundle, output=tmp_path / "out", device="auto")
        assert len(again.skipped) == 2 and not again.redone


def test_a_source_that_changed_replaces_its_result(xray_files, tiny_bundle, tmp_path) -> None:
    source = tmp_path / "in" / "x.png"
    source.parent.mkdir()
    source.write_bytes((xray_files / "images" / "case0.png").read_bytes())
    segment(source, bundle=tiny_bundle, output=tmp_path / "out")
    before = label_digests(tmp_path / "out")
    source.write_bytes((xray_files / "images" / "case1.png").read_bytes())

    report = segment(source, bundle=tiny_bundle, output=tmp_path / "out")

    assert names(report) == ["x"] and [item.reason for item in report.redone] == ["its source has changed"]
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["x"]
    assert label_digests(tmp_path / "out") != before
    moved = source.rename(tmp_path / "in" / "y.png")
    (tmp_path / "in" / "x.png").write_bytes((xray_files / "images" / "case2.png").read_bytes())
    both = segment([moved, source], bundle=tiny_bundle, output=tmp_path / "out")
    assert names(both) == ["y", "x"]


def start_slowly(condition: str, *arguments: object) -> subprocess.Popen[str]:
    """Start the command with an inversion that sleeps where a Python expression says so."""
    code = f"import sys, pathlib\ndef GO():\n    return {condition}\n{SLOW}from monai_semigan.cli.main import main\n"
    code += f"main({[str(item) for item in arguments]!r})\n"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("kind", ["images", "study"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_half_and_is_gone_on_with(
    kind, end, xray_files, tiny_bundle, request, tmp_path
) -> None:
    out = tmp_path / "out"
    if kind == "images":
        source, bundle = xray_files / "images", tiny_bundle
        condition = f"len(list(pathlib.Path({str(out)!r}).glob('*/case.json'))) == 2"
        arguments = ("segment", source, "-b", bundle, "-o", out, "--batch-size", 2)
    else:
        bundle, source = request.getfixturevalue("volume_bundle"), tmp_path / "study.zip"
        files = phantoms.write_series(tmp_path / "ct", phantoms.phantom(), "CT")
        with zipfile.ZipFile(source, "w") as archive:
            for path in files:
                archive.write(path, path.name)
        condition, arguments = "True", ("segment", source, "-b", bundle, "-o", out, "--modality", "CT")
    process = start_slowly(condition, *arguments)
    claims = 2 if kind == "images" else 1
    done = 2 if kind == "images" else 0
    wait_for(lambda: len(list(out.glob(".*.claim"))) == claims and len(list(out.glob("*/case.json"))) == done, process)
    time.sleep(0.3)
    process.send_signal(end)
    _, err = process.communicate(timeout=60)

    assert process.returncode == (143 if end == signal.SIGTERM else -9)
    if end == signal.SIGTERM:
        assert err.strip().endswith("terminated") and "Traceback" not in err
        assert not list(out.glob(".*")), "no claim, no unpacked study, no half case"
    repeated = start(*arguments, "--json")
    stdout, err = repeated.communicate(timeout=240)
    assert repeated.returncode == 0, err
    report = json.loads(stdout)
    wanted = [f"case{at}" for at in range(4)] if kind == "images" else ["study"]
    assert [case["case"] for case in report["cases"]] == wanted
    assert report["skipped"] == wanted[:done] and not report["redone"]
    assert not list(out.glob(".*"))
    whole = segment(source, bundle=bundle, output=tmp_path / "whole", modality="auto", batch_size=2)
    if kind == "images":
        assert label_digests(out) == label_digests(tmp_path / "whole") and len(label_digests(out)) == 4
    else:
        labels = [folder / "study" / "label.nii.gz" for folder in (out, tmp_path / "whole")]
        assert whole.cases and labels[0].read_bytes() == labels[1].read_bytes()


def test_claims_of_killed_runs_do_not_stay(xray_files, tiny_bundle, tmp_path) -> None:
    """Nor does one of them keep a case's name from the next run."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = f"{gone.pid}-{atomic._host()}"
    (tmp_path / "out").mkdir()
    for name in ("case0", "other"):
        (tmp_path / "out" / f".{name}.claim").write_text(owner)
    (tmp_path / "out" / ".case1.claim").write_text(atomic.owner_name())

    report = segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert names(report) == ["case0", "case1-2", "case2", "case3"]
    assert [path.name for path in (tmp_path / "out").glob(".*")] == [".case1.claim"]


def test_a_claim_that_was_freed_is_taken(tmp_path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    claim = tmp_path / ".x.claim"
    claim.write_text(f"{gone.pid}-{atomic._host()}")

    assert take_claim(claim, "here")
    assert claim.read_text() == f"{atomic.owner_name()} here"
    assert not take_claim(claim, "there")
    claim.write_text("")
    assert not take_claim(claim, "here")
    os.utime(claim, (0, 0))
    assert take_claim(claim, "here")


@pytest.mark.parametrize("moment", ["pathlib.Path.write_text", "os.link", "pathlib.Path.unlink"])
def test_a_kill_leaves_no_claim_that_is_in_the_way(tmp_path, moment: str) -> None:
    place, name = moment.rsplit(".", 1)
    program = "import os, pathlib, sys; from monai_semigan.workflows.claims import take_claim\n"
    program += f"before = {moment}\n"
    program += f"{place}.{name} = lambda *a, **k: (before(*a, **k) if {name != 'link'} else None, os._exit(9))\n"
    program += "take_claim(pathlib.Path(sys.argv[1]), 'here')"
    claim = tmp_path / ".x.claim"

    assert subprocess.run([sys.executable, "-c", program, claim], check=False).returncode == 9

    assert take_claim(claim, "here"), "at once: nothing waits for an age"
    atomic.remove_stale(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".x.claim"]


def test_without_hard_links_a_claim_is_a_new_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    claim = tmp_path / ".x.claim"

    assert take_claim(claim, "here")
    assert claim.read_text() == f"{atomic.owner_name()} here"
    assert not take_claim(claim, "there")
    assert [path.name for path in tmp_path.iterdir()] == [".x.claim"]


def test_a_claim_of_another_machine_is_free_after_a_day(tmp_path) -> None:
    claim = tmp_path / ".x.claim"
    claim.write_text("7-abcdef99 here")
    (tmp_path / ".y.claim").write_text(f"{atomic.owner_name()} here")
    hours = time.time() - 3600
    os.utime(claim, (hours, hours - 22 * 3600))

    assert not take_claim(claim, "here")
    for path in (claim, tmp_path / ".y.claim"):
        os.utime(path, (hours, hours - 24 * 3600))
    assert take_claim(claim, "here"), "nobody can ask whether a process of another machine lives"
    assert not take_claim(tmp_path / ".y.claim", "here"), "this process lives"


def test_an_input_that_another_run_works_on_is_not_made_twice(xray_files, tiny_bundle, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    location = location_digest(xray_files / "images" / "case1.png")
    (tmp_path / "out" / ".case1.claim").write_text(f"{atomic.owner_name()} {location}")

    report = segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert names(report) == ["case0", "case2", "case3"]
    assert "another one works on it" in reasons(report)["case1.png"]
    assert "delete `.case1.claim`" in reasons(report)["case1.png"]


def test_a_case_whose_record_is_damaged_is_made_again_in_its_place(xray_files, tiny_bundle, tmp_path) -> None:
    segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)
    (tmp_path / "out" / "case1" / "case.json").write_text("{")
    (tmp_path / "out" / "case2" / "case.json").write_text("{")
    (tmp_path / "out" / "case2" / "notes.txt").write_text("mine")

    report = segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert names(report) == ["case0", "case1", "case2-2", "case3"]
    assert [(item.case, item.reason) for item in report.redone] == [("case1", "its case.json is damaged")]
    assert (tmp_path / "out" / "case2" / "notes.txt").read_text() == "mine"
