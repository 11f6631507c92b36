# SPDX-License-Identifier: Apache-2.0
"""A comparison goes on: after a bad file, an end, with more of everything, but with nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_semigan.atomic import owner_name
from monai_semigan.baselines.methods import BaselineSettings
from monai_semigan.errors import CheckpointError, ConfigError, InputError, TrainingError
from monai_semigan.files import RunLock
from monai_semigan.settings import to_json
from monai_semigan.workflows.comparing import CompareOptions, compare

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("what", ["mask", "image", "unlabelled"])
def test_a_bad_file_is_found_before_hours_of_training_and_can_be_mended(
    options: CompareOptions, listed: Path, tmp_path: Path, what: str
) -> None:
    options = replace(options, seeds=1, labels=(1,), tests=("other hospital",))
    stages: list[str] = []
    names = {"mask": "masks/case6.png", "image": "images/case6.png", "unlabelled": "images/case2.png"}
    path = listed.parent / names[what]
    good = path.read_bytes()
    if what == "mask":
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    else:
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=path.name.replace(".", r"\.")):
        compare(tmp_path / "out", datalist=listed, options=options, progress=lambda name, *_: stages.append(name))
    assert not stages and not (tmp_path / "out" / "test_scorings.json").exists()

    path.write_bytes(good)

    assert len(compare(tmp_path / "out", datalist=listed, options=options).scores) == 4


def test_a_test_set_can_be_mended_after_the_training(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    options = replace(options, seeds=1, labels=(1,), methods=("unet",))
    trained = compare(tmp_path / "out", datalist=listed, options=options)
    tested = replace(options, tests=("other hospital",))
    before = compare(tmp_path / "out", datalist=listed, options=tested)
    content = json.loads(listed.read_text())
    del content["test"]["other hospital"][0]["ignore"]
    listed.write_text(json.dumps(content))

    after = compare(tmp_path / "out", datalist=listed, options=tested)

    assert after.scores[0] == before.scores[0] == trained.scores[0]
    assert after.scores[1].dice != before.scores[1].dice
    assert before.test_scorings == {"test:other hospital": 1} and after.test_scorings == {"test:other hospital": 2}


class KilledError(Exception):
    pass


def test_a_call_that_was_ended_loses_the_training_in_progress_alone(
    options: CompareOptions, listed: Path, tmp_path: Path
) -> None:
    wanted = compare(tmp_path / "whole", datalist=listed, options=options)
    out, stages = tmp_path / "out", []

    def kill(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        if len(set(stages)) == 4:
            raise KilledError

    with pytest.raises(KilledError):
        compare(out, datalist=listed, options=options, progress=kill)
    assert len([path for path in out.iterdir() if path.is_dir()]) == 3 and not (out / "compare.json").exists()
    host = owner_name().partition("-")[2][:6]
    (out / f".unet-9-0.4194305-{host}.tmp").mkdir()
    done, stages = set(stages[:-1]), []

    record = compare(out, datalist=listed, options=options, progress=lambda stage, *_: stages.append(stage))

    assert len(set(stages)) == 5 and not set(stages) & (done - {stages[0]})
    assert [item.dice for item in record.summaries] == [item.dice for item in wanted.summaries]
    assert not list(out.glob(".*.tmp"))


def test_a_killed_process_leaves_nothing_half_written(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(to_json(options.settings)))
    arguments = [str(listed), "--methods", "unet", "mean-teacher", "--labels", "1", "2", "--seeds", "1"]
    arguments += ["--budget", "3000steps", "--base", options.base, "--device", "cpu", "--settings", str(settings)]
    arguments += ["-o", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "monai_semigan.cli.main", "compare", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not list(out.glob(".unet-1-0.*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(out.glob(".unet-1-0.*.tmp")) and not (out / "unet-1-0").exists()

    with pytest.raises(ConfigError, match="another budget"):
        compare(out, datalist=listed, options=options)
    assert not list(out.glob(".*.tmp"))


def test_test_sets_are_scored_when_asked_and_counted(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    out, one = tmp_path / "out", replace(options, methods=("unet",), labels=(1,), seeds=1)
    assert compare(out, datalist=listed, options=one).test_scorings == {}
    asked = replace(one, tests=("other hospital",))

    first = compare(out, datalist=listed, options=asked)
    again = compare(out, datalist=listed, options=asked)
    more = compare(out, datalist=listed, options=replace(asked, labels=(1, 2)))
    without = compare(out, datalist=listed, options=one)

    assert [item.test_scorings for item in (first, again, more, without)] == [
        {"test:other hospital": times} for times in (1, 1, 2, 2)
    ]
    assert [item.set_name for item in more.summaries] == ["validation", "validation", *["test:other hospital"] * 2]
    assert "scored 2 times" not in (out / "compare.html").read_text(), "the last call showed no test set"
    compare(out, datalist=listed, options=replace(asked, labels=(1, 2)))
    assert "Test set other hospital (1 patients; scored 2 times)" in (out / "compare.html").read_text()


def test_methods_labels_and_seeds_can_be_added_and_nothing_else(
    options: CompareOptions, listed: Path, tmp_path: Path
) -> None:
    out, one = tmp_path / "out", replace(options, methods=("unet",), labels=(1,), seeds=1)
    compare(out, datalist=listed, options=one)
    before = (out / "unet-1-0" / "network.pt").stat().st_mtime_ns

    compare(out, datalist=listed, options=options)

    assert (out / "unet-1-0" / "network.pt").stat().st_mtime_ns == before
    for changes, what in (
        ({"budget": "4steps"}, "budget"),
        ({"base": "lung_cxr_segmentation"}, "base, preparation"),
        ({"settings": BaselineSettings()}, "settings"),
    ):
        with pytest.raises(ConfigError, match=f"another {what}"):
            compare(out, datalist=listed, options=replace(options, **changes))
    content = json.loads(listed.read_text())
    content["labelled"][0]["label_rank"] = 1
    listed.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="another order of labels"):
        compare(out, datalist=listed, options=replace(options, labels=(1,)))
    listed.write_text(json.dumps(content | {"unlabelled": content["unlabelled"][:1]}))
    with pytest.raises(ConfigError, match="another data list"):
        compare(out, datalist=listed, options=replace(options, labels=(1,)))
    with RunLock(out), pytest.raises(TrainingError, match="one run at a time"):
        compare(out, datalist=listed, options=replace(options, labels=(1,)))


def test_damaged_weights_are_refused(options: CompareOptions, listed: Path, tmp_path: Path) -> None:
    out, one = tmp_path / "out", replace(options, methods=("unet",), labels=(1,), seeds=1)
    compare(out, datalist=listed, options=one)
    for content in (b"", b"other"):
        (out / "unet-1-0" / "network.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="it is trained again"):
            compare(out, datalist=listed, options=replace(one, tests=("other hospital",)))
    torch.save({"format": "other"}, out / "unet-1-0" / "network.pt")
    with pytest.raises(CheckpointError, match="must have the format"):
        compare(out, datalist=listed, options=replace(one, tests=("other hospital",)))
    shutil.rmtree(out / "unet-1-0")
    record = compare(out, datalist=listed, options=replace(one, tests=("other hospital",)))
    assert record.test_scorings == {"test:other hospital": 4}, "calls that failed may have shown something"
