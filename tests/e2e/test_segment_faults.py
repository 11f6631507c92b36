# SPDX-License-Identifier: Apache-2.0
"""``semigan segment`` among damage and odd inputs: each has a result or a reason."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from segment_run import label_digests, names, reasons, records, segment

from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError
from monai_semigan.io.image_file import ImageFile
from monai_semigan.latent.inversion import Inversion
from monai_semigan.logs import enable_logging
from monai_semigan.segmentation import image_adapter, outputs
from monai_semigan.workflows import case_run

pytestmark = pytest.mark.e2e

SECRET = "Geheim^Grete 19290607"
"""What a library's message might quote from a file."""


def damaged(make_xray: Any, folder: Path) -> int:
    """Write inputs that no result can come of, in ten ways; return their number."""
    good = io.BytesIO()
    Image.fromarray(make_xray()[0]).save(good, "PNG")
    color = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for at in range(5):
        Image.new("L", (50, 50), at).save(folder / f"{at}flat.png")
        Image.fromarray(color).save(folder / f"{at}color.png")
        Image.fromarray(np.full((30, 30), np.nan, dtype=np.float32)).save(folder / f"{at}nan.tif")
        Image.new("L", (5, 50), at).save(folder / f"{at}tiny.png")
        Image.fromarray(np.full((30, 30), np.inf, dtype=np.float32)).save(folder / f"{at}inf.tif")
        (folder / f"{at}cut.png").write_bytes(good.getvalue()[: 200 + 100 * at])
        (folder / f"{at}text.png").write_text(SECRET)
        (folder / f"{at}empty.png").write_bytes(b"")
        (folder / f"{at}dicom.dcm").write_bytes(bytes(128) + b"DICM" + SECRET.encode())
        two = [Image.new("L", (40, 40), value) for value in (at, 9)]
        two[0].save(folder / f"{at}pages.tif", save_all=True, append_images=two[1:])
    return 50


def test_fifty_good_inputs_among_fifty_damaged_ones(tiny_bundle, make_xray, tmp_path, monkeypatch) -> None:
    """Each has a result or a reason; an image's label does not depend on what failed beside it."""
    folder = tmp_path / "in"
    folder.mkdir()
    for at in range(50):  # by name, every batch has good ones and such that cannot be prepared
        Image.fromarray(make_xray(40 + at, 60, seed=at)[0]).save(folder / f"{at % 5}{'dgjox'[at // 10]}{at}.png")
    count = damaged(make_xray, folder)
    batches: list[int] = []
    forward = Inversion.__call__
    monkeypatch.setattr(
        Inversion, "__call__", lambda self, image, **options: (batches.append(1), forward(self, image, **options))[1]
    )
    arguments = ("segment", folder, "-b", tiny_bundle, "-o", tmp_path / "out", "--format", "png", "--json")
    result = CliRunner().invoke(cli, [str(item) for item in arguments], standalone_mode=False)

    assert result.exception is None and result.return_value == 3, result.output
    report = json.loads(result.stdout)
    said = {failure["source"]: failure["reason"] for failure in report["failures"]}
    assert len(report["cases"]) == 50 and len(said) == count == len(report["failures"])
    assert said.keys() == {path.name for path in folder.iterdir()} - {
        case["source"]["name"] for case in report["cases"]
    }
    for name, reason in said.items():
        assert "\n" not in reason and SECRET[:6] not in reason and "not expected" not in reason, (name, reason)
    assert len(batches) <= 20, "what fails in preparation does not make single work of the others"
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")) == []
    lone = segment(folder / "2d7.png", bundle=tiny_bundle, output=tmp_path / "lone", formats=("png",))
    assert label_digests(tmp_path / "lone")["2d7"] == label_digests(tmp_path / "out")["2d7"] and names(lone) == ["2d7"]


@pytest.mark.parametrize("stage", ["digest", "read", "prepare", "segment", "write"])
def test_an_error_of_a_library_fails_its_case_alone_in_our_words(
    stage, xray_files, tiny_bundle, tmp_path, monkeypatch, capsys
) -> None:
    """Its text, which may quote the file, is nowhere; where it came from is shown with -vv alone."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(SECRET)

    if stage in ("digest", "read"):
        original = getattr(ImageFile, stage)
        monkeypatch.setattr(ImageFile, stage, lambda self: broken() if self.path.stem == "case1" else original(self))
    elif stage == "prepare":
        prepare = image_adapter.prepare_image
        for module in (image_adapter, case_run):
            monkeypatch.setattr(
                module,
                "prepare_image",
                lambda preset, source: broken() if source.path.stem == "case1" else prepare(preset, source),
            )
    elif stage == "segment":
        original = image_adapter._result
        monkeypatch.setattr(
            image_adapter,
            "_result",
            lambda loaded, source, *rest: broken() if source.case == "case1" else original(loaded, source, *rest),
        )
    else:
        monkeypatch.setitem(
            outputs.OUTPUTS,
            "png",
            outputs.Output(
                "png", "label.png", lambda path, result, _: broken() if result.record.case == "case1" else path.touch()
            ),
        )
    for verbose in (False, True):
        arguments = ["segment", xray_files / "images", "-b", tiny_bundle, "-o", tmp_path / f"out{verbose}"]
        flags = ["-vv"] if verbose else []
        result = CliRunner().invoke(cli, [str(item) for item in flags + arguments], standalone_mode=False)
        enable_logging(30)
        logged = result.output + capsys.readouterr().err

        assert result.exception is None and result.return_value == 3, result.output
        written = json.loads((tmp_path / f"out{verbose}" / "report.json").read_text())
        assert [case["case"] for case in written["cases"]] == ["case0", "case2", "case3"]
        (failure,) = written["failures"]
        assert failure["source"] == "case1.png"
        assert failure["reason"].startswith("An error that was not expected (KeyError)") and "-vv" in failure["reason"]
        assert SECRET not in (tmp_path / f"out{verbose}" / "report.html").read_text()
        if not verbose:
            assert "Traceback" not in logged and SECRET not in logged
        assert not (tmp_path / f"out{verbose}" / "case1").exists()


def test_where_an_unexpected_error_came_from_is_logged_for_who_asks(
    xray_files, tiny_bundle, tmp_path, monkeypatch, caplog
) -> None:
    def broken(*_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(image_adapter, "_result", broken)
    caplog.set_level("DEBUG", logger="monai_semigan")
    segment(xray_files / "images" / "case0.png", bundle=tiny_bundle, output=tmp_path / "out")

    assert "in broken" in caplog.text and "segment_images" in caplog.text


def test_a_path_a_text_and_lists_of_both_are_inputs_and_an_array_is_not(xray_files, tiny_bundle, tmp_path) -> None:
    path = xray_files / "images" / "case0.png"
    for at, inputs in enumerate((path, str(path), [path], (str(path),), iter([path]))):
        report = segment(inputs, bundle=str(tiny_bundle), output=str(tmp_path / f"out{at}"), steps=0)
        assert names(report) == ["case0"]
    for wrong in (np.zeros((40, 40)), [np.zeros((40, 40))], 3, None):
        with pytest.raises(ConfigError, match=r"`inputs` must be a path.*monai_semigan\.read"):
            segment(wrong, bundle=tiny_bundle, output=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["formats", "extra_formats", "left_out"])
def test_an_unknown_format_is_refused_before_the_work(option, xray_files, tiny_bundle, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"`formats` must be of png, .*, got gif"):
        segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", **{option: ("gif",)})
    assert not (tmp_path / "out").exists()


def test_the_description_is_opened_once_a_run(xray_files, tiny_bundle, tmp_path) -> None:
    opened: list[str] = []
    is_on = True
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if is_on and event == "open" else None)
    segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)
    is_on = False

    assert sum(name.endswith("metadata.json") for name in opened) == 1


def test_an_output_format_of_another_package_is_written(xray_files, tiny_bundle, tmp_path, monkeypatch) -> None:
    """One file of somebody else's, and nothing of this package changed."""
    monkeypatch.setattr(outputs, "OUTPUTS", outputs.OUTPUTS.copy())
    (tmp_path / "their_package.py").write_text(
        "import numpy as np\n"
        "from monai_semigan import Output, register_output\n"
        "def write(path, result, options):\n"
        "    with path.open('wb') as stream:\n"
        "        np.save(stream, result.label)\n"
        "register_output(Output('npy', 'label.npy', write))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import their_package

    assert their_package
    image = xray_files / "images" / "case0.png"
    arguments = ["segment", image, "-b", tiny_bundle, "-o", tmp_path / "out", "--format", "npy", "--format", "png"]
    result = CliRunner().invoke(cli, [str(item) for item in arguments], standalone_mode=False)

    assert result.exception is None and result.return_value == 0, result.output
    with Image.open(tmp_path / "out" / "case0" / "label.png") as label:
        np.testing.assert_array_equal(np.load(tmp_path / "out" / "case0" / "label.npy"), np.asarray(label))
    again = segment(image, bundle=tiny_bundle, output=tmp_path / "out", formats=("npy", "png"))
    assert again.skipped == ("case0",) and "label.npy" in records(again)["case0"].files and not reasons(again)


def test_images_of_odd_names_are_found_and_results_of_an_earlier_run_are_not(
    xray_files, tiny_bundle, dicom_files, tmp_path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.2.840.3").write_bytes(dicom_files.write_series(tmp_path / "ct")[0].read_bytes())
    Image.open(next((xray_files / "images").iterdir())).save(folder / "photo.bmp")
    first = segment(folder, bundle=tiny_bundle, output=folder / "earlier", steps=0)

    second = segment(folder, bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    assert len(names(first)) + len(first.failures) == 2
    assert names(second) == names(first)


def test_an_empty_path_is_refused(tiny_bundle, tmp_path) -> None:
    with pytest.raises(ConfigError, match="got an empty one"):
        segment("", bundle=tiny_bundle, output=tmp_path / "out")


def test_formats_that_fit_nothing_fail_the_case_and_leave_an_earlier_one(xray_files, tiny_bundle, tmp_path) -> None:
    whole = segment(xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0)

    report = segment(
        xray_files / "images", bundle=tiny_bundle, output=tmp_path / "out", steps=0, formats=("dicom-seg",)
    )

    assert not report.cases
    assert all("has none of them" in reason for reason in reasons(report).values())
    assert all((tmp_path / "out" / name / "label.png").is_file() for name in names(whole))


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "monai_semigan.cli.main", "info"]

    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "error: the output could not be written: No space left on device\n"
