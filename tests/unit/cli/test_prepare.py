"""`semigan prepare`: its commands, what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from dataset_trees import TREES

from monai_semigan.cli.main import cli, main
from monai_semigan.extras.datasets import DATASETS

SMALL = ["--patients", "3", "--mr-patients", "1", "--size", "20", "--slices", "16"]


def run(*arguments: str):
    return CliRunner().invoke(cli, ["prepare", *arguments], standalone_mode=False)


def test_every_data_set_is_listed() -> None:
    text = CliRunner().invoke(cli, ["prepare", "--help"]).output

    assert all(name in text for name in (*DATASETS, "phantom"))


def test_phantoms_are_drawn_and_counted(tmp_path: Path) -> None:
    result = run("phantom", str(tmp_path / "out"), *SMALL)

    assert result.exception is None
    head, first = result.stdout.splitlines()[:2]
    assert head.split() == ["role", "images", "patients"] and first.split() == ["labelled", "16", "1"]
    assert "data.json" in result.stdout.splitlines()[-1] and (tmp_path / "out" / "data.json").is_file()


def test_json_is_one_object(tmp_path: Path) -> None:
    content = json.loads(run("phantom", str(tmp_path / "out"), *SMALL, "--json", "--organs", "all").stdout)

    assert content["schema"] == "semigan-prepare-1" and content["patients"]["test:mr"] == 1


def test_a_data_set_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["shenzhen"](tmp_path / "source", monkeypatch)

    result = run("shenzhen", str(tmp_path / "source"), str(tmp_path / "out"), "--labels", "2", "--seed", "3", "--json")

    assert json.loads(result.stdout)["images"]["labelled"] == 2


def test_warnings_go_to_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    TREES["celebamask-hq"](tmp_path / "source", monkeypatch)

    result = run("celebamask-hq", str(tmp_path / "source"), str(tmp_path / "out"))

    assert "warning: identity_CelebA.txt" in result.stderr and "warning:" not in result.stdout


def test_organs_are_offered_where_there_are_some() -> None:
    assert "--organs" in CliRunner().invoke(cli, ["prepare", "chaos-t2spir", "--help"]).output
    assert "--organs" not in CliRunner().invoke(cli, ["prepare", "chaos-ct", "--help"]).output


def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "imagenet", "a", "b"])

    assert stop.value.code == 2 and "imagenet" in capsys.readouterr().err


def test_a_wrong_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "jsrt", str(tmp_path), str(tmp_path / "out")])

    error = capsys.readouterr().err
    assert stop.value.code == 1 and error.startswith("error: ") and len(error.splitlines()) == 1
