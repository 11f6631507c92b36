# SPDX-License-Identifier: Apache-2.0
"""An inversion step by step: numbers, pictures, page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.cli.main import cli
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.label_file import read_label
from monai_semigan.workflows.explaining import ExplanationOptions, explain


def why(image, output, bundle, **options):
    return explain(str(image), output, bundle=bundle, options=ExplanationOptions(**({"device": "cpu"} | options)))


def test_the_steps_are_shown_from_the_encoder_s_answer_on(tiny_bundle, xray_files, tmp_path, edit_bundle):
    edit_bundle(tiny_bundle, inversion={"steps": 2, "patience": 0})
    out = tmp_path / "why"

    found = why(xray_files / "images/case1.png", out, tiny_bundle, steps=6, at=(0, 3, 6))

    assert [numbers["step"] for numbers in found.shown] == [0, 3, 6]
    assert found.shown[0]["label_change"] == 0 and found.steps_taken == 6 and len(found.losses) == 7
    assert [numbers["loss"] for numbers in found.shown] == pytest.approx([found.losses[at] for at in (0, 3, 6)])
    first, last = (read_label(out / f"steps/{step:04d}_label.png") for step in (0, 6))
    assert found.shown[2]["label_change"] == pytest.approx((first != last).mean(), abs=1e-6)
    assert json.loads((out / "explanation.json").read_text()) == found.to_json()
    with Image.open(out / "animation.webp") as animation:
        assert animation.n_frames >= 2


def test_the_page_needs_nothing_from_elsewhere(tiny_bundle, xray_files, tmp_path):
    why(xray_files / "images/case1.png", tmp_path / "why", tiny_bundle, steps=3)

    page = (tmp_path / "why/explanation.html").read_text()
    assert re.findall(r"<h2>(Step \d+)", page) == ["Step 0", "Step 2", "Step 3"]
    assert page.count("data:image/jpeg") == 3 and page.count("data:image/webp") == 1
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<svg" in page and "Content-Security-Policy" in page


def test_steps_after_the_end_are_the_end(tiny_bundle, xray_files, tmp_path, edit_bundle):
    edit_bundle(tiny_bundle, inversion={"steps": 2, "patience": 1, "tolerance": 1.0})

    found = why(xray_files / "images/case1.png", tmp_path / "why", tiny_bundle, steps=30, at=(0, 20, 30))

    assert found.steps_taken < 20
    assert [numbers["step"] for numbers in found.shown] == [0, found.steps_taken]


def test_a_bundle_without_steps_is_explained_with_some(tiny_bundle, xray_files, tmp_path, edit_bundle):
    edit_bundle(tiny_bundle, inversion={"steps": 0})

    assert why(xray_files / "images/case1.png", tmp_path / "a", tiny_bundle).inversion["steps"] == 50
    none = why(xray_files / "images/case1.png", tmp_path / "b", tiny_bundle, steps=0)
    assert none.steps_taken == 0 and [numbers["step"] for numbers in none.shown] == [0]


def test_a_slice_of_a_volume(volume_bundle, make_mr, save_volume, tmp_path):
    found = why(f"{save_volume('mr', make_mr)}:2", tmp_path / "why", volume_bundle)

    assert (found.modality, found.slice, found.inversion["steps"]) == ("MR", 2, 2)
    assert ", slice 2" in (tmp_path / "why/explanation.html").read_text()


def test_wrong_input_is_refused_and_nothing_is_written(tiny_bundle, xray_files, tmp_path):
    image = xray_files / "images/case1.png"
    constant = tmp_path / "constant.png"
    Image.fromarray(np.full((40, 40), 7, dtype=np.uint8)).save(constant)
    for given, options, error, words in (
        (image, {"steps": 3, "at": (0, 4)}, ConfigError, "`at` must be steps from 0 to 3, got 4"),
        (tmp_path / "gone.png", {}, InputError, "does not exist"),
        (constant, {}, InputError, "constant"),
        ("seed:3", {}, InputError, "does not exist"),
    ):
        with pytest.raises(error, match=words):
            why(given, tmp_path / "why", tiny_bundle, **options)
    assert not (tmp_path / "why").exists()


def test_the_command_prints_the_steps(tiny_bundle, xray_files, tmp_path):
    base = ["explain", str(xray_files / "images/case1.png"), "-b", str(tiny_bundle), "-o", str(tmp_path / "why")]

    result = CliRunner().invoke(cli, [*base, "--at", "0", "--at", "2", "--device", "cpu"])
    as_json = CliRunner().invoke(cli, [*base, "--json", "--device", "cpu"])

    assert result.exit_code == 0 and "image error" in result.stdout and "explanation.html" in result.stdout
    assert json.loads(as_json.stdout)["schema"] == "semigan-explanation-1"
