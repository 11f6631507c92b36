"""``semigan segment`` repeated, interrupted, short of memory: what is kept, what is made again, what is swept up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
import zipfile
from pathlib import Path

import numpy as np
import phantoms
import pytest
from click.testing import CliRunner
from segment_run import names, reasons, segment

from monai_semigan import atomic
from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, OutputError
from monai_semigan.io import volume_input
from monai_semigan.latent.inversion import Inversion
from monai_semigan.report.schema import check_json
from monai_semigan.segmentation import dicom_outputs, volume_adapter

pytestmark = pytest.mark.e2e


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def volume(path: Path, seed: int = 0) -> Path:
    drawn = phantoms.phantom(seed=seed)
    return phantoms.write_nifti(path, phantoms.voxels(drawn, "CT"), drawn.grid)


def failures(report: dict) -> dict[str, str]:
    return {failure["source"]: failure["reason"] for failure in report["failures"]}


def test_another_bundle_or_setting_makes_a_case_again(xray_files, tiny_bundle, tmp_path, edit_bundle) -> None:
    source, out, said = [xray_files / "images" / "case0.png"], tmp_path / "out", []

    def again(**options: object) -> tuple[tuple[str, ...], list[str]]:
        report = segment(source, bundle=tiny_bundle, output=out, say=said.append, **options)
        check_json("report", report.to_json())
        assert names(report) == ["case0"]
        return report.skipped, [item.reason for item in report.redone]

    assert again() == ((), [])
    assert again() == (("case0",), [])
    assert again(steps=2) == (("case0",), []), "the bundle's own number of steps"
    assert again(steps=1) == ((), ["other settings (inversion)"])
    edit_bundle(tiny_bundle, max_image_error=0.3)
    assert again(steps=1) == ((), ["another bundle"])
    assert again(steps=1, overwrite=True) == ((), ["as asked for"])
    assert said == [
        "case0: segmented again: other settings (inversion)",
        "case0: segmented again: another bundle",
        "case0: segmented again: as asked for",
    ]
    assert "<b>case0</b>: as asked for" in (out / "report.html").read_text()
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["case0"]


@pytest.mark.parametrize("damage", ["overlay.png", "label.png", "content", "case.json", "schema"])
def test_a_case_that_lost_a_file_is_made_again(xray_files, tiny_bundle, tmp_path, damage) -> None:
    source, case = [xray_files / "images" / "case0.png"], tmp_path / "out" / "case0"
    segment(source, bundle=tiny_bundle, output=tmp_path / "out", steps=0)
    wanted = case.joinpath("label.png").read_bytes()
    if damage == "case.json":
        case.joinpath("case.json").write_text("{")
    elif damage == "schema":
        numbers = json.loads(case.joinpath("case.json").read_text())
        del numbers["classes"]
        case.joinpath("case.json").write_text(json.dumps(numbers))
    elif damage == "content":
        case.joinpath("label.png").write_bytes(case.joinpath("overlay.png").read_bytes())
    else:
        case.joinpath(damage).unlink()

    report = segment(source, bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert report.skipped == () and report.failures == ()
    assert names(report) == ["case0"]
    if damage in ("case.json", "schema"):
        assert [item.reason for item in report.redone] == ["its case.json is damaged"]
    else:
        name = "label.png" if damage == "content" else damage
        assert [item.reason for item in report.redone] == [f"{name} missing or changed"]
    assert (tmp_path / "out" / names(report)[0] / "label.png").read_bytes() == wanted
    again = segment(source, bundle=tiny_bundle, output=tmp_path / "out", steps=0)
    assert list(again.skipped) == names(report)


def short_of_memory(monkeypatch, fits) -> list[int]:
    """Let the inversion of more images at once than fit fail as torch does; return the sizes of the batches."""
    forward, sizes = Inversion.__call__, []

    def limited(self, image, **options):
        sizes.append(len(image))
        if len(image) > fits:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
        return forward(self, image, **options)

    monkeypatch.setattr(Inversion, "__call__", limited)
    return sizes


def test_a_batch_too_large_for_the_memory_goes_image_by_image(xray_files, tiny_bundle, tmp_path, monkeypatch) -> None:
    """Truly: not as batches of one image and its copies, which need as much."""
    sizes = short_of_memory(monkeypatch, fits=1)
    first = segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "all")

    assert names(first) == [f"case{at}" for at in range(4)] and not first.failures
    assert sizes == [4, 1, 1, 1, 1]
    assert all("done alone" in case.record.warnings[-1] for case in first.cases)
    assert segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "all").skipped == tuple(names(first))

    short_of_memory(monkeypatch, fits=0)
    none = segment([xray_files / "images"], bundle=tiny_bundle, output=tmp_path / "none")
    assert not none.cases and len(none.failures) == 4
    assert all("--batch-size" in failure.reason for failure in none.failures)


def test_one_image_too_large_for_a_batch_of_its_copies_goes_alone(
    xray_files, tiny_bundle, tmp_path, monkeypatch
) -> None:
    sizes = short_of_memory(monkeypatch, fits=3)
    report = segment(xray_files / "images" / "case0.png", bundle=tiny_bundle, output=tmp_path / "out")

    assert names(report) == ["case0"] and sizes == [4, 1]


def test_a_volume_too_large_for_the_memory_fails_alone(volume_bundle, tmp_path, monkeypatch) -> None:
    segmented = volume_adapter.segment_volume
    calls: list[int] = []

    def short(*arguments: object, **options: object):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
        return segmented(*arguments, **options)

    monkeypatch.setattr(volume_adapter, "segment_volume", short)
    for name in ("a", "b"):
        volume(tmp_path / "in" / f"{name}.nii.gz")

    report = segment([tmp_path / "in"], bundle=volume_bundle, output=tmp_path / "out", steps=0)

    assert names(report) == ["b"] and len(calls) == 2
    assert reasons(report).keys() == {"a"} and "too little memory" in reasons(report)["a"]
    assert "--batch-size" in reasons(report)["a"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b", "report.html", "report.json"]


WRITERS = {
    "write_dicom_seg": "seg.dcm",
    "write_dicom_sr": "sr.dcm",
    "write_dicom_map": "probability.dcm",
    "write_dicom_contours": "contours.dcm",
    "write_dicom_preview": "preview.dcm",
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_dicom_object_that_cannot_be_made_is_a_warning(volume_bundle, tmp_path, monkeypatch, name) -> None:
    phantoms.write_series(tmp_path / "ct", phantoms.phantom(), "CT")

    def refuse(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"")
        path.unlink()
        raise OutputError("`x` could not be made: the source's header does not allow it.")

    monkeypatch.setattr(dicom_outputs, name, refuse)
    also = [part for added in ("sr", "probability", "contours", "preview") for part in ("--also", f"dicom-{added}")]
    result = run("segment", tmp_path / "ct", "-b", volume_bundle, "-o", tmp_path / "out", "--steps", 0, "--json", *also)

    assert result.exception is None and result.return_value == 0, result.output
    (case,) = json.loads(result.stdout)["cases"]
    file = WRITERS[name]
    assert any(f"No {file} was written" in warning for warning in case["warnings"])
    assert (tmp_path / "out" / case["case"] / "label.nii.gz").exists()


def test_a_disk_that_fills_up_at_the_dicom_object_fails_the_case(volume_bundle, tmp_path, monkeypatch) -> None:
    phantoms.write_series(tmp_path / "ct", phantoms.phantom(), "CT")

    def full(path: Path, **_: object) -> None:
        with atomic.replacing(path):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(dicom_outputs, "write_dicom_seg", full)
    result = run("segment", tmp_path / "ct", "-b", volume_bundle, "-o", tmp_path / "out", "--steps", 0, "--json")

    assert result.return_value == 3
    assert "No space left" in failures(json.loads(result.stdout))["ct"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_memory_is_checked_before_voxels_are_read(volume_bundle, tmp_path, monkeypatch) -> None:
    volume(tmp_path / "in" / "v.nii.gz")
    phantoms.write_series(tmp_path / "in" / "ct", phantoms.phantom(), "CT")
    drawn = phantoms.phantom()
    phantoms.write_mha(tmp_path / "in" / "w.mha", phantoms.voxels(drawn, "CT"), drawn.grid)

    def never(_: object) -> None:
        raise AssertionError("no voxel may be read")

    monkeypatch.setattr(volume_input.VolumeCandidate, "load", never)
    report = segment([tmp_path / "in"], bundle=volume_bundle, output=tmp_path / "out", max_memory_gib=0.1)

    assert len(report.failures) == 3
    assert all("must fit into 0.1 GiB" in failure.reason for failure in report.failures)


def test_one_volume_is_in_memory_at_a_time(volume_bundle, tmp_path, monkeypatch) -> None:
    for name in ("a", "b", "c"):
        volume(tmp_path / "in" / f"{name}.nii.gz")
    load, seen, alive = volume_input.VolumeCandidate.load, [], []

    def watched(self: volume_input.VolumeCandidate):
        alive.append(sum(reference() is not None for reference in seen))
        loaded = load(self)
        seen.append(weakref.ref(loaded.voxels))
        return loaded

    monkeypatch.setattr(volume_input.VolumeCandidate, "load", watched)
    report = segment([tmp_path / "in"], bundle=volume_bundle, output=tmp_path / "out", steps=0)

    assert len(report.cases) == 3
    assert alive == [0, 0, 0]


def test_bad_zips_fail_alone_and_zips_are_unpacked_one_at_a_time(volume_bundle, tmp_path, monkeypatch) -> None:
    inputs = []
    for name in ("a", "b"):
        volume(tmp_path / f"{name}.nii")
        inputs.append(tmp_path / f"{name}.zip")
        with zipfile.ZipFile(inputs[-1], "w") as archive:
            archive.write(tmp_path / f"{name}.nii", f"{name}.nii")
    (tmp_path / "torn.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:-30])
    with zipfile.ZipFile(tmp_path / "outward.zip", "w") as archive:
        archive.writestr("../evil.nii", b"x")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", b"x")
    (tmp_path / "notes.txt").write_text("x")
    unpack, beside = volume_input.unpack_zip, []

    def watched(path: Path, folder: Path) -> Path:
        beside.append(len(list(Path(folder).iterdir())))
        return unpack(path, folder)

    monkeypatch.setattr(volume_input, "unpack_zip", watched)
    others = [tmp_path / name for name in ("torn.zip", "outward.zip", "empty.zip", "notes.txt")]
    result = run(
        "segment",
        *others,
        *inputs,
        tmp_path / "a.nii",
        "-b",
        volume_bundle,
        "-o",
        tmp_path / "out",
        "--steps",
        0,
        "--json",
    )

    assert result.exception is None and result.return_value == 3, result.output
    report = json.loads(result.stdout)
    assert [case["case"] for case in report["cases"]] == ["a", "b", "a_2"]
    reasons = failures(report)
    assert reasons.keys() == {"torn.zip", "outward.zip", "empty.zip", "notes.txt"}
    assert "damaged" in reasons["torn.zip"] and "inside its own folder" in reasons["outward.zip"]
    assert "No volume was found" in reasons["empty.zip"] and "must be a volume" in reasons["notes.txt"]
    assert all("\n" not in reason for reason in reasons.values())
    assert max(beside) <= 1, "an empty zip's folder may stay until its turn ends, no more"
    assert not (tmp_path / "evil.nii").exists() and not (tmp_path / "out" / "evil.nii").exists()


def test_only_a_bad_zip_is_a_report_with_a_failure(volume_bundle, tmp_path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"no zip")

    result = run("segment", tmp_path / "bad.zip", "-b", volume_bundle, "-o", tmp_path / "out")

    assert result.exception is None and result.return_value == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_results_inside_the_input_are_not_read(volume_bundle, tmp_path) -> None:
    volume(tmp_path / "in" / "v.nii.gz")

    for _ in range(2):
        report = segment([tmp_path / "in"], bundle=volume_bundle, output=tmp_path / "in" / "out", steps=0)
        assert names(report) == ["v"]
        assert not report.failures
    with pytest.raises(ConfigError, match="must not be a folder of inputs"):
        segment([tmp_path / "in"], bundle=volume_bundle, output=tmp_path / "in")


def test_result_pictures_inside_the_input_are_not_read(xray_files, tiny_bundle, tmp_path) -> None:
    for _ in range(2):
        report = segment([xray_files / "images"], bundle=tiny_bundle, output=xray_files / "images" / "out", steps=0)
        assert names(report) == [f"case{at}" for at in range(4)]
    with pytest.raises(ConfigError, match="must not be a folder of inputs"):
        segment([xray_files / "images"], bundle=tiny_bundle, output=xray_files / "images")


def test_what_a_killed_run_left_is_swept_up(xray_files, tiny_bundle, volume_bundle, tmp_path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mark, out = f"{process.pid}-{atomic._host()}", tmp_path / "out"
    for name in (f".v.{mark}.tmp", f".unpacked.abc.{mark}.tmp", f".other.{os.getpid()}-{atomic._host()}.tmp", ".mine"):
        (out / name / "inner").mkdir(parents=True)
    volume(tmp_path / "v.nii.gz")

    segment([tmp_path / "v.nii.gz"], bundle=volume_bundle, output=out, steps=0)

    left = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
    assert left == [".mine", f".other.{os.getpid()}-{atomic._host()}.tmp"]


def test_the_bundle_s_batch_size_is_used_unless_another_is_given(volume_bundle, tmp_path, edit_bundle) -> None:
    edit_bundle(volume_bundle, slicewise={"batch_size": 3})
    volume(tmp_path / "v.nii.gz")

    for options, expected in (({}, 3), ({"batch_size": 5}, 5)):
        report = segment(
            tmp_path / "v.nii.gz", bundle=volume_bundle, output=tmp_path / "out", steps=0, overwrite=True, **options
        )
        assert report.cases[0].record.request["batch_size"] == expected


@pytest.mark.parametrize("shown", [(3, 4), (7,)])
def test_a_volume_whose_slices_are_mostly_blank_has_a_montage(volume_bundle, tmp_path, shown) -> None:
    rng = np.random.default_rng(0)
    drawn = phantoms.phantom()
    voxels = np.zeros((40, 40, 400), dtype=np.int16)
    voxels[5:35, 5:35, list(shown)] = rng.integers(50, 500, (30, 30, len(shown)))
    phantoms.write_nifti(tmp_path / "v.nii.gz", voxels, type(drawn.grid)(voxels.shape, np.diag([8, 8, 2, 1])))

    result = run(
        "segment", tmp_path / "v.nii.gz", "-b", volume_bundle, "-o", tmp_path / "out", "--modality", "MR", "--json"
    )

    assert result.exception is None and result.return_value == 0, result.output
    assert (tmp_path / "out" / "v" / "montage.png").exists()
