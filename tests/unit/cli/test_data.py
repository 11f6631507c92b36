"""`semigan data`: what it prints, where warnings go, what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from image_studies import mask, picture, study

from monai_semigan.cli.main import cli, main
from monai_semigan.io.datalist import load_datalist

NAMES = [f"p{who}_{at}" for who in range(1, 7) for at in range(2)]


def run(*arguments: str | Path):
    return CliRunner().invoke(cli, ["data", *map(str, arguments)], standalone_mode=False)


def test_a_list_with_its_table(tmp_path: Path) -> None:
    study(tmp_path, NAMES, unlabelled=("p6_0", "p6_1"))

    result = run(tmp_path / "images", "--masks", tmp_path / "masks", "-o", tmp_path / "data.json", "--test", "0.2")

    assert result.exception is None
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["role", "images", "patients"],
        ["all", "12", "6"],
        ["labelled", "6", "3"],
        ["unlabelled", "8", "4"],
        ["validation", "2", "1"],
        ["test:test", "2", "1"],
        [],
        ["class", "masks", "that", "show", "it"],
        ["0", "10"],
        ["1", "10"],
        [],
        ["label", "values:", "binary"],
        ["patients", "by:", "names", "that", "differ", "in", "a", "last", "number", "or", "view", "alone"],
        ["data", "list:", str(tmp_path / "data.json")],
    ]
    assert result.stderr.startswith("warning: 12 images were taken for those of 6 patients")
    assert len(load_datalist(tmp_path / "data.json").labelled) == 6


def test_json_is_one_object(tmp_path: Path) -> None:
    study(tmp_path, NAMES)
    (tmp_path / "images" / "p1_0.png").write_text("no image")
    options = ["--masks", tmp_path / "masks", "--patient-pattern", "^(p.)", "--validation", "0", "--skip-bad", "--json"]

    content = json.loads(run(tmp_path / "images", *options, "-o", tmp_path / "data.json").stdout)

    assert content["schema"] == "semigan-data-1" and content["classes"] == {"0": 11, "1": 11}
    assert (content["images"]["all"], content["patients"]["all"]) == (11, 6)
    assert list(content["bad"]) == [str(tmp_path / "images" / "p1_0.png")]


def test_options_reach_the_list(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png", seed=ord(name))
        mask(tmp_path / f"{name}_x.png", 3)
    (tmp_path / "cases.csv").write_text("image,split\na,test\n")
    options = ["--masks", "{stem}_x.png", "--csv", tmp_path / "cases.csv", "--label-values", "binary", "--seed", "5"]

    first = run(tmp_path, *options, "-o", tmp_path / "data.json")
    again = run(tmp_path, *options, "-o", tmp_path / "data.json", "--overwrite")

    content = json.loads((tmp_path / "data.json").read_text())
    assert first.exception is None and again.exception is None
    assert content["label_values"] == "binary" and content["seed"] == 5
    assert [entry["image"] for entry in content["test"]["test"]] == ["a.png"]


def test_bad_images_stop_it_with_their_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path, ["a", "b", "c"])
    mask(tmp_path / "masks" / "b.png", shape=(9, 30))
    words = ["data", str(tmp_path / "images"), "--masks", str(tmp_path / "masks"), "-o", str(tmp_path / "data.json")]

    with pytest.raises(SystemExit) as caught:
        main(words)

    shown = capsys.readouterr().err
    assert caught.value.code == 1 and not (tmp_path / "data.json").exists()
    assert shown.startswith("error: Every image must be usable, but 1 of 3 are not.")
    assert "must have its image's size 23 x 18, got 30 x 9" in shown

    with pytest.raises(SystemExit) as caught:
        main([*words, "--skip-bad"])

    assert caught.value.code == 0 and (tmp_path / "data.json").exists()
    assert f"left out: {tmp_path / 'images' / 'b.png'}: `b.png` must have" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--validation", "1"], ["--test", "-1"], ["--label-values", "ids"], []])
def test_wrong_usage(words: list[str], tmp_path: Path) -> None:
    study(tmp_path, ["a"])
    output = ["-o", str(tmp_path / "data.json")] if words else []

    with pytest.raises(SystemExit) as caught:
        main(["data", str(tmp_path / "images"), *words, *output])

    assert caught.value.code == 2
