"""A training's page shows how far it is, also while it is written to, and says when nothing comes any more."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from monai_semigan.cli.watch import command
from monai_semigan.errors import InputError
from monai_semigan.training.run_folder import RunFolder
from monai_semigan.workflows import watching
from monai_semigan.workflows.watching import read_run, watch_run, write_watch_page


def log(folder: Path, *, kimg: int = 3, total: float = 8.0) -> Path:
    """A run that has seen some thousand images, at 100 a second."""
    run = RunFolder(folder, {"a": 1}, resume=False)
    run.note_length(total)
    for at in range(1, kimg + 1):
        numbers = {"loss_image": 1 / at, "augment_image": 0.1 * at, "validation_dice": 0.5 + 0.1 * at}
        run.log(1000 * at, {**numbers, "images_per_second": 100.0})
        Image.new("RGB", (4, 3), (at, 0, 0)).save(folder / f"samples-{1000 * at:08d}.png")
    run.close()
    return folder


def test_a_run_says_how_far_it_is(tmp_path) -> None:
    state = read_run(log(tmp_path / "gan"))

    assert (state.kimg, state.total_kimg, state.images_per_second, state.left_s) == (3.0, 8.0, 100.0, 50.0)
    assert state.is_running and not state.is_done
    done = read_run(log(tmp_path / "done", total=3.0))
    assert done.is_done and not done.is_running and done.left_s is None


def test_a_line_that_is_being_written_is_left_out(tmp_path) -> None:
    stats = log(tmp_path / "gan") / "stats.jsonl"
    with stats.open("a") as stream:
        stream.write('{"kimg": 4.0, "loss_im')

    assert read_run(tmp_path / "gan").kimg == 3.0


def test_the_stage_that_was_written_to_last_is_shown(tmp_path) -> None:
    for name, age in (("gan", 100), ("encoder", 5)):
        stats = log(tmp_path / name) / "stats.jsonl"
        os.utime(stats, (time.time() - age,) * 2)

    assert read_run(tmp_path).folder.name == "encoder"


def test_silence_is_told(tmp_path) -> None:
    stats = log(tmp_path / "gan") / "stats.jsonl"
    os.utime(stats, (time.time() - 3600,) * 2)

    state = read_run(tmp_path / "gan")
    page = write_watch_page(state).read_text()

    assert not state.is_running and "no news" in page and 'http-equiv="refresh"' not in page


def test_the_page_has_curves_samples_and_the_time_to_go(tmp_path) -> None:
    page = write_watch_page(read_run(log(tmp_path / "<b>run"))).read_text()

    for words in ("Training &lt;b&gt;run", "of 8 thousand", "1 min", "0.800", "best 0.800", "Losses", "augment image",
                  "Samples now (3000 images)", "Samples before (2000", "Samples at the beginning (1000",
                  'http-equiv="refresh"', "default-src 'none'"):  # fmt: skip
        assert words in page, words
    assert page.count("<svg") == 3


def test_a_run_without_a_line_has_a_page(tmp_path) -> None:
    RunFolder(tmp_path / "gan", {}, resume=False).close()

    page = write_watch_page(read_run(tmp_path / "gan")).read_text()

    assert "No curves yet" in page and "running" in page
    with pytest.raises(InputError, match="folder of a training"):
        read_run(tmp_path / "gan" / "missing")


def test_the_page_is_written_at_every_tick_until_the_end(tmp_path, monkeypatch) -> None:
    folder = log(tmp_path / "gan")
    seen: list[float] = []

    def next_tick(_: float) -> None:
        line = {"kimg": 8.0 if len(seen) > 1 else 4.0, "loss_image": 0.1, "images_per_second": 100.0}
        with (folder / "stats.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    monkeypatch.setattr(watching.time, "sleep", next_tick)
    watch_run(folder, lambda state, page: seen.append(state.kimg) or page.stat())

    assert seen == [3.0, 4.0, 8.0]
    assert "done" in (folder / "watch.html").read_text()


def test_the_command_writes_the_page_once(tmp_path) -> None:
    folder = log(tmp_path / "gan")

    printed = CliRunner().invoke(command, [str(folder), "--once", "--no-browser"])

    assert printed.exit_code == 0 and "3.0 thousand images" in printed.stdout
    assert (folder / "watch.html").is_file()
