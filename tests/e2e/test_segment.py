"""``semigan segment`` as a user runs it: names, skipping, bad input, no half-written results, no network."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from segment_run import names, records, segment

from monai_semigan.cli.main import cli
from monai_semigan.errors import BundleError, CheckpointError, InputError, OutputError, SemiGanError
from monai_semigan.networks.checkpoint_file import file_digest

pytestmark = pytest.mark.e2e


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("no network connection may be opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_every_case_gets_its_files_at_the_source_size(xray_files, tiny_bundle, tmp_path, no_network):
    output = tmp_path / "out"

    result = run("segment", xray_files / "images", "-b", tiny_bundle, "-o", output, "--json")

    assert result.exception is None and result.return_value == 0
    report = json.loads(result.stdout)
    assert [case["case"] for case in report["cases"]] == [f"case{at}" for at in range(4)]
    for at in range(4):
        folder = output / f"case{at}"
        assert sorted(path.name for path in folder.iterdir()) == [
            "case.json",
            "label.png",
            "overlay.png",
            "reconstruction.png",
            "viewer.html",
        ]
        with Image.open(xray_files / "images" / f"case{at}.png") as source, Image.open(folder / "label.png") as label:
            assert label.size == source.size
            assert set(np.unique(np.asarray(label))) <= {0, 1}
    numbers = json.loads((output / "case0" / "case.json").read_text())
    assert len(numbers["trace"]) == 3 and numbers["steps_taken"] == 2
    assert numbers["bundle"]["digest"] == report["bundle"]["digest"]
    assert {"read", "prepare", "network"} <= numbers["seconds"].keys()
    page = (output / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page
    assert page.count("<img ") == 8


def test_finished_cases_are_skipped_and_shown(xray_files, tiny_bundle, tmp_path):
    inputs = [xray_files / "images"]
    segment(inputs, bundle=tiny_bundle, output=tmp_path / "out")
    stamp = (tmp_path / "out" / "case1" / "label.png").stat().st_mtime_ns

    again = segment(inputs, bundle=tiny_bundle, output=tmp_path / "out")
    forced = segment(inputs, bundle=tiny_bundle, output=tmp_path / "out", overwrite=True)

    assert again.skipped == ("case0", "case1", "case2", "case3") and len(again.cases) == 4
    assert forced.skipped == ()
    assert (tmp_path / "out" / "case1" / "label.png").stat().st_mtime_ns > stamp


def test_names_clash_without_overwriting(xray_files, tiny_bundle, tmp_path):
    for at, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes((xray_files / "images" / f"case{at}.png").read_bytes())
    inputs = [tmp_path / "a", tmp_path / "b"]

    first = segment(inputs, bundle=tiny_bundle, output=tmp_path / "out")
    second = segment(inputs, bundle=tiny_bundle, output=tmp_path / "out")
    other = segment([xray_files / "images" / "case2.png"], bundle=tiny_bundle, output=tmp_path / "out")

    assert names(first) == ["x", "x-2"]
    assert second.skipped == ("x", "x-2")
    assert names(other) == ["case2"]


def test_one_bad_file_does_not_stop_the_others(xray_files, tiny_bundle, tmp_path):
    images = xray_files / "images"
    (images / "text.png").write_text("no image")
    Image.new("L", (50, 50), 7).save(images / "flat.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(images / "photo.png")
    Image.fromarray(np.full((30, 30), np.nan, dtype=np.float32)).save(images / "nan.tif")

    result = run("segment", images, "-b", tiny_bundle, "-o", tmp_path / "out")

    assert result.return_value == 3
    assert "4 segmented" in result.stdout and "4 failed" in result.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    reasons = {failure["source"]: failure["reason"] for failure in report["failures"]}
    for name, reason in {"text.png": "content", "flat.png": "constant", "photo.png": "color", "nan.tif": "NaN"}.items():
        assert reason in reasons[name]
        assert name in (tmp_path / "out" / "report.html").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == [
        f"case{at}" for at in range(4)
    ]


def test_known_errors_are_one_line_and_exit_code_1(tiny_bundle, tmp_path):
    command = [sys.executable, "-m", "monai_semigan.cli.main", "segment", str(tmp_path / "no.png")]
    command += ["-b", str(tiny_bundle), "-o", str(tmp_path / "out")]

    result = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert result.returncode == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert "does not exist" in result.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_to_segment(tiny_bundle, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds none"):
        segment([tmp_path / "empty"], bundle=tiny_bundle, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written(xray_files, tiny_bundle, tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OutputError, match="folder that can be written"):
        segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "file" / "out")


def test_full_disk_leaves_no_half_case(xray_files, tiny_bundle, tmp_path, monkeypatch):
    write_bytes, written = Path.write_bytes, []

    def fill_up(path, content):
        written.append(path)
        if len(written) > 4:
            write_bytes(path, content[:5])
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OutputError, match="No space left"):  # the report finds no space either
        segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case0"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda root: (root / "models" / "model.pt").unlink(), "missing|none"),
        (lambda root: (root / "models" / "model.pt").write_bytes(b"x"), "SHA-256"),
        (lambda root: (root / "configs" / "metadata.json").write_text("{"), "JSON"),
        (lambda root: (root / "configs" / "metadata.json").unlink(), r"metadata\.json"),
        (
            lambda root: (root / "configs" / "train.json").write_text(
                '{"x": {"_target_": "os.system", "command": "true"}}'
            ),
            r"os\.system",
        ),
        (
            lambda root: (root / "configs" / "inference.json").write_text(
                "{\"x\": \"$__import__('os').system('true')\"}"
            ),
            "import",
        ),
    ],
)
def test_damaged_or_hostile_bundles_are_refused(xray_files, tiny_bundle, tmp_path, damage, reason):
    damage(tiny_bundle)

    with pytest.raises(SemiGanError, match=reason):
        segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_with_code_are_refused_and_not_run(xray_files, tiny_bundle, tmp_path, edit_bundle):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_run"),)

    path = tiny_bundle / "models" / "model.pt"
    torch.save({"weight": Payload()}, path, pickle_module=pickle)
    edit_bundle(tiny_bundle, weights={"file": "models/model.pt", "sha256": file_digest(path)})

    with pytest.raises(CheckpointError, match="run code"):
        segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out")
    assert not (tmp_path / "was_run").exists()


def test_unknown_bundle_names_the_shipped_ones(xray_files, tmp_path):
    with pytest.raises(BundleError, match="lung_cxr_segmentation"):
        segment([xray_files / "images"], bundle="lung", output=tmp_path / "out")


def test_segmenting_reads_configs_as_data_only(xray_files, tiny_bundle, tmp_path, monkeypatch):
    """MONAI's config parser, which evaluates expressions, is never loaded."""
    check = (
        "import sys; from monai_semigan import segment_files;"
        f"segment_files([{str(xray_files / 'images')!r}], bundle={str(tiny_bundle)!r}, output='out');"
        "print('monai.bundle' in sys.modules)"
    )
    command = [sys.executable, "-c", check]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "False"


def test_report_pages_render(xray_files, tiny_bundle, tmp_path, integration):
    """A browser draws the page: the picture is neither empty nor one color."""
    browser = integration("chromium")
    segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out", steps=1)
    picture = tmp_path / "page.png"

    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,1200", f"--screenshot={picture}"]
    subprocess.run(
        [*command, (tmp_path / "out" / "report.html").as_uri()], capture_output=True, check=True, timeout=120
    )

    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[:2] == (1200, 1000)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 200


def test_an_image_of_another_kind_is_pointed_out(xray_files, tiny_bundle, tmp_path, edit_bundle):
    edit_bundle(tiny_bundle, max_image_error=1e-6)
    unlike = segment([xray_files / "images" / "case0.png"], bundle=tiny_bundle, output=tmp_path / "unlike")
    edit_bundle(tiny_bundle, max_image_error=1e6)
    alike = segment([xray_files / "images" / "case0.png"], bundle=tiny_bundle, output=tmp_path / "alike")

    assert any("do not trust" in warning for warning in unlike.cases[0].record.warnings)
    assert not any("do not trust" in warning for warning in alike.cases[0].record.warnings)
    edit_bundle(tiny_bundle, max_image_error=0)
    with pytest.raises(BundleError, match="max_image_error"):
        segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "out")


def test_an_uncertain_label_is_pointed_out(xray_files, tiny_bundle, tmp_path, edit_bundle):
    image = xray_files / "images" / "case0.png"

    def found(limit):
        edit_bundle(tiny_bundle, min_expected_dice=limit, max_image_error=1e6)
        return records(segment(image, bundle=tiny_bundle, output=tmp_path / str(limit)))["case0"]

    before = found(1e-6)
    expected = before.lowest_expected_dice
    assert 0 < expected < 1 and not any("uncertain" in warning for warning in before.warnings)
    for shift, is_uncertain in ((1e-4, True), (-1e-4, False)):
        record = found(expected + shift)
        assert record.lowest_expected_dice == expected
        assert any("label of lung is uncertain" in warning for warning in record.warnings) is is_uncertain
    for wrong in (0, 1.01, "0.9", {"CT": 0.9}):
        with pytest.raises(BundleError, match="min_expected_dice"):
            found(wrong)
