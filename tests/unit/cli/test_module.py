"""``semigan module``: where it finds its folders, what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.cli.main import cli
from monai_semigan.cli.module import VARIABLES

NAMES = [name for _, *pair in VARIABLES for name in pair]


def run(*arguments: object, env: dict[str, object] | None = None):
    env = dict.fromkeys([*NAMES, "SEMIGAN_BUNDLE"]) | {name: str(value) for name, value in (env or {}).items()}
    return CliRunner().invoke(cli, ["module", *map(str, arguments)], env=env, standalone_mode=False)


def usage(result) -> str:
    assert result.exit_code != 0 and result.exception is not None
    return str(getattr(result.exception, "message", result.exception))


@pytest.fixture
def inputs(tmp_path: Path, make_xray) -> Path:
    (tmp_path / "in").mkdir()
    Image.fromarray(make_xray(40, 50)[0]).save(tmp_path / "in" / "x.png")
    return tmp_path / "in"


def test_folders_are_named_or_the_platforms(inputs, tiny_bundle, tmp_path):
    options = ("--steps", 0, "--device", "cpu")
    for at, (contract, of_input, of_output) in enumerate(VARIABLES):
        output = tmp_path / f"out{at}"
        result = run(*options, env={of_input: inputs, of_output: output, "SEMIGAN_BUNDLE": tiny_bundle})
        assert result.exception is None and result.return_value == 0, result.output
        said = json.loads((output / "result.json").read_text())
        # mercure takes DICOM alone
        assert said["status"] == ("nothing to segment" if contract == "mercure" else "done")
    result = run(*options, "--input", inputs, "--output", tmp_path / "out", "-b", tiny_bundle, env={NAMES[0]: "/none"})
    assert result.return_value == 0 and (tmp_path / "out" / "x" / "label.png").exists()


def test_of_all_variables_mercures_come_first(inputs, tiny_bundle, tmp_path):
    env = {name: inputs if "IN" in name.replace("MONAI_", "") else tmp_path / "out" for name in NAMES}
    env["MERCURE_OUT_DIR"] = tmp_path / "mercure"
    result = run("-b", tiny_bundle, "--steps", 0, env=env)

    assert result.return_value == 0, result.output
    assert (tmp_path / "mercure" / "result.json").exists() and not (tmp_path / "out").exists()


def test_missing_folders_are_wrong_usage(inputs, tmp_path):
    assert "MERCURE_IN_DIR" in usage(run("-b", "x"))
    assert "together" in usage(run("-b", "x", "--input", inputs))
    for _, of_input, of_output in VARIABLES:
        assert "one is missing" in usage(run("-b", "x", env={of_input: inputs}))
        assert "one is missing" in usage(run("-b", "x", env={of_output: tmp_path / "out", of_input: ""}))


def test_it_prints_counts_and_no_names(inputs, tiny_bundle, tmp_path):
    (inputs / "Secret^Name.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run("--input", inputs, "--output", tmp_path / "out", "-b", tiny_bundle, "--steps", 0)

    assert result.return_value == 3
    assert result.output == "some failed: 1 segmented, 1 failed, 0 files left; the rest is in result.json\n"


def test_it_names_the_bundle_that_is_missing(inputs, tmp_path):
    result = run("--input", inputs, "--output", tmp_path / "out")

    assert "`bundle` must be named" in usage(result) and not (tmp_path / "out").exists()
