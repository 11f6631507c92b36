# SPDX-License-Identifier: Apache-2.0
"""One call from a data list to the table; what is not fair or not possible is said."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from PIL import Image

from monai_semigan.cli.compare import command
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.report.schema import check_json, load_schema
from monai_semigan.settings import to_json
from monai_semigan.workflows.compare_runs import METHODS
from monai_semigan.workflows.comparing import CompareOptions, compare

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


def test_a_table_a_figure_and_a_page_come_out(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"

    record = compare(out, datalist=listed, options=options, say=said.append)

    content = json.loads((out / "compare.json").read_text())
    Draft202012Validator(load_schema("compare")).validate(content)
    check_json("compare", content)
    assert content == json.loads(json.dumps(to_json(record)))
    assert [(item.method, item.labels) for item in record.summaries] == [
        ("unet", 1), ("mean-teacher", 1), ("unet", 2), ("mean-teacher", 2),
    ]  # fmt: skip
    assert len(record.scores) == 8 and record.num_patients == {"validation": 2}
    assert all(score.run.steps == 3 and score.run.num_labelled == score.run.labels for score in record.scores)
    assert {score.run.num_unlabelled for score in record.scores} == {3}
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert len(rows) == 16 and {row["patient"] for row in rows} == {"1", "2"}
    for item in record.summaries:
        values = [
            float(row["dice"]) for row in rows if (row["method"], int(row["labels"])) == (item.method, item.labels)
        ]
        assert item.dice == pytest.approx(np.mean(values), abs=1e-5) and item.low < item.dice < item.high
    page = (out / "compare.html").read_text()
    assert "3 steps for each training" in page and page.count("<svg") == 1 and "it chose the checkpoints" in page
    assert Image.open(out / "compare.png").size[0] > 800
    assert "images/case" not in page + (out / "compare.csv").read_text() + (out / "compare.json").read_text()
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == sorted(
        f"{method}-{labels}-{seed}" for method in options.methods for labels in (1, 2) for seed in (0, 1)
    )
    assert any(line.startswith("One label") for line in said)


def test_every_method_runs_and_ours_is_trained_once_for_two_rows(
    options: CompareOptions, listed: Path, tmp_path: Path
) -> None:
    every = replace(options, methods=METHODS, labels=(1,), seeds=1)
    stages: list[str] = []

    record = compare(tmp_path / "out", datalist=listed, options=every, progress=lambda stage, *_: stages.append(stage))

    assert [item.method for item in record.summaries] == list(every.methods)
    assert [stage for stage in dict.fromkeys(stages) if "ours" in stage] == [
        "ours, 1 labels, seed 0: teacher", "ours, 1 labels, seed 0: encoder",
    ]  # fmt: skip
    ours, plain = (next(score for score in record.scores if score.method == name) for name in ("ours", "ours-no"))
    assert ours.run == plain.run and ours.run.seconds > 0 and ours.run.steps == 3
    files = {path.name for path in (tmp_path / "out" / "ours-1-0").iterdir()}
    assert files == {"bundle", "run.json", "ours.validation.json", "ours-no.validation.json"}
    marked = [item.method for item in record.summaries if item.is_marked]
    assert marked == ["ours", "ours-no"] and "unknown number of labels" in " ".join(record.notes)
    assert "ours \N{DAGGER}" in (tmp_path / "out" / "compare.html").read_text()


@pytest.mark.parametrize(("known", "marked"), [(1, []), (2, [1]), (3, [1, 2])])
def test_rows_with_fewer_labels_than_the_base_are_marked(
    options: CompareOptions, listed: Path, tmp_path: Path, known: int, marked: list[int]
) -> None:
    ours = replace(options, methods=("ours-no",), seeds=1, base_labels=known)
    record = compare(tmp_path / "out", datalist=listed, options=ours)
    assert [item.labels for item in record.summaries if item.is_marked] == marked
    assert any(f"trained with {known} labels" in note for note in record.notes) == bool(marked)
    assert record.base is not None and record.base.num_labels == known


def test_a_base_says_itself_with_how_many_labels_it_was_trained(
    options: CompareOptions, listed: Path, tmp_path: Path, edit_bundle
) -> None:
    edit_bundle(Path(options.base), num_labels=2)
    record = compare(tmp_path / "out", datalist=listed, options=replace(options, methods=("ours-no",), seeds=1))
    assert record.base is not None and record.base.num_labels == 2
    assert [item.labels for item in record.summaries if item.is_marked] == [1]


def test_without_a_base_ours_trains_its_generator(
    options: CompareOptions, listed: Path, tmp_path: Path, monkeypatch
) -> None:
    from monai_semigan.workflows import fit_stages

    monkeypatch.setattr(fit_stages, "list_bundles", lambda: [options.base])
    alone = replace(options, methods=("ours",), labels=(2,), seeds=1, base=None, domain="chest_xray")
    stages: list[str] = []
    record = compare(tmp_path / "out", datalist=listed, options=alone, progress=lambda name, *_: stages.append(name))
    assert any(stage.endswith(": gan") for stage in stages)
    assert record.base is None and not any(item.is_marked for item in record.summaries)


def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    options: CompareOptions, listed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for changes, error, words in (
        ({"labels": (1, 3)}, InputError, "at most the 2 that the data list has, got 3"),
        ({"budget": "soon"}, ConfigError, "`budget` must be a time"),
        ({"tests": ("other",)}, ConfigError, "`test` must be one of the data list's, other hospital, got 'other'"),
        ({"base": None, "domain": "shoes"}, ConfigError, "`domain` must be one of"),
    ):
        with pytest.raises(error, match=words):
            compare(out, datalist=listed, options=replace(options, **changes))
    for changes, words in (
        ({"methods": ("unet", "vnet")}, "`methods` must be among unet, .*ours-no, got 'vnet'"),
        ({"methods": ("unet", "unet")}, "each once"),
        ({"labels": ()}, "at least one"),
        ({"labels": (0,)}, "labels"),
        ({"seeds": 0}, "`seeds` must be a whole number from 1 to 1000, got 0"),
        ({"base": None, "base_labels": 4}, "`base_labels` must come with"),
    ):
        with pytest.raises(ConfigError, match=words):
            replace(options, **changes)
    content = json.loads(listed.read_text())
    listed.write_text(json.dumps(content | {"unlabelled": []}))
    with pytest.raises(InputError, match=r"unlabelled images for mean-teacher, got none beside the 2 .*unet deeplab"):
        compare(out, datalist=listed, options=options)
    listed.write_text(json.dumps(content | {"validation": []}))
    with pytest.raises(InputError, match="must have validation images"):
        compare(out, datalist=listed, options=options)
    assert not out.exists()
    out.mkdir()
    (out / ".run.lock").touch()  # a call that was killed before it wrote anything
    listed.write_text(json.dumps(content))
    compare(out, datalist=listed, options=replace(options, methods=("unet",), labels=(1,), seeds=1))
    with pytest.raises(OutputError, match="must be a new folder or that of a comparison"):
        compare(listed.parent / "images", datalist=listed, options=options)


def test_a_class_that_a_row_does_not_show_is_said(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    content = json.loads(listed.read_text())
    for at in range(7):
        path = listed.parent / "masks" / f"case{at}.png"
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
        if at != 1:
            mask[: mask.shape[0] // 2] *= 2
        Image.fromarray(mask).save(path)
    listed.write_text(json.dumps(content | {"label_values": "classes"}))

    record = compare(tmp_path / "out", datalist=listed, options=replace(options, methods=("unet",), seeds=1))

    assert [note for note in record.notes if "class 2" in note] == [
        "With 1 labels, class 2 is in none: no method can learn it."
    ]
    assert record.num_classes == 3


def test_what_lost_its_label_is_an_unlabelled_image(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    content = json.loads(listed.read_text())
    listed.write_text(json.dumps(content | {"unlabelled": []}))
    record = compare(tmp_path / "out", datalist=listed, options=replace(options, labels=(1,), seeds=1))
    assert [score.run.num_unlabelled for score in record.scores] == [1, 1]


def test_the_command_prints_the_table(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"frame": {"batch_size": 2}, "unet": [4, 4, 4, 4, 4, 4]}))
    arguments = [
        str(listed),
        "--methods",
        "unet",
        "ours-no",
        "--labels",
        "1",
        "2",
        "--seeds",
        "1",
        "--budget",
        "2steps",
    ]
    arguments += ["--base", options.base, "--device", "cpu", "--settings", str(settings), "-o", str(tmp_path / "out")]

    table = CliRunner().invoke(command, arguments)
    as_json = CliRunner().invoke(command, [*arguments, "--test", "other hospital", "--json"])
    unknown = CliRunner().invoke(command, [*arguments, "--methods", "vnet"])
    none = CliRunner().invoke(command, [*arguments, "--seeds", "0"])

    assert table.exit_code == 0, table.output
    assert "ours-no*" in table.stdout and "2 steps for each training" in table.stdout
    assert json.loads(as_json.stdout)["test_scorings"] == {"test:other hospital": 1}
    assert isinstance(unknown.exception, ConfigError) and none.exit_code == 2
