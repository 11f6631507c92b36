# SPDX-License-Identifier: Apache-2.0
"""The run folder: its record, its statistics, resuming."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from monai_semigan.errors import ConfigError, OutputError, TrainingError
from monai_semigan.training.run_folder import RunFolder

CONFIG = {"gan": {"learning_rate": 0.002, "channels": (8, 8)}, "data_digest": "abc"}


def test_the_record_names_config_versions_and_start(tmp_path):
    RunFolder(tmp_path / "a" / "run", CONFIG, resume=False).close()

    record = json.loads((tmp_path / "a" / "run" / "resolved_config.json").read_text())
    assert record["config"] == {"gan": {"learning_rate": 0.002, "channels": [8, 8]}, "data_digest": "abc"}
    assert "torch" in record["versions"] and record["started"][:2] == "20"


def test_a_second_run_in_the_same_folder_is_refused_and_resuming_is_not(tmp_path):
    RunFolder(tmp_path, CONFIG, resume=False).close()

    with pytest.raises(ConfigError, match=r"already holds a run. Pass --resume to continue it, or another folder"):
        RunFolder(tmp_path, CONFIG, resume=False)
    RunFolder(tmp_path, CONFIG, resume=True).close()


def test_resuming_an_empty_folder_starts_a_run(tmp_path):
    RunFolder(tmp_path / "run", CONFIG, resume=True).close()

    assert (tmp_path / "run" / "resolved_config.json").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data_digest": "abd"}, "data_digest"),
        ({"gan": {"learning_rate": 0.003, "channels": [8, 8]}}, "gan"),
        ({"data_digest": "x", "more": 1}, "data_digest, more"),
    ],
)
def test_other_settings_are_named(tmp_path, change, named):
    RunFolder(tmp_path, CONFIG, resume=False).close()
    before = (tmp_path / "resolved_config.json").read_bytes()

    with pytest.raises(ConfigError, match=f"was started with another {named}. Resume with the same settings"):
        RunFolder(tmp_path, CONFIG | change, resume=True)

    assert (tmp_path / "resolved_config.json").read_bytes() == before


SNAPSHOT = {"file": "snapshot-00140000.pt", "sha256": "ab"}


@pytest.mark.parametrize("old", [SNAPSHOT, SNAPSHOT | {"file": "copy.pt"}, "snapshot-00140000.pt", "ab"])
def test_a_file_is_compared_by_digest_or_as_earlier_versions_wrote_it(tmp_path, old):
    RunFolder(tmp_path, CONFIG | {"gan_snapshot": old}, resume=False).close()

    RunFolder(tmp_path, CONFIG | {"gan_snapshot": SNAPSHOT}, resume=True).close()


@pytest.mark.parametrize("old", [SNAPSHOT | {"sha256": "cd"}, "snapshot-00120000.pt", "cd", None])
def test_another_file_is_refused_also_by_the_name_of_earlier_versions(tmp_path, old):
    RunFolder(tmp_path, CONFIG | {"gan_snapshot": old}, resume=False).close()

    with pytest.raises(ConfigError, match=r"was started with another gan_snapshot\. Resume with the same settings"):
        RunFolder(tmp_path, CONFIG | {"gan_snapshot": SNAPSHOT}, resume=True)


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="must be a folder that can be written"):
        RunFolder(tmp_path / "file" / "run", CONFIG, resume=False)


def test_statistics_are_one_object_per_line_and_tensorboard_scalars(tmp_path):
    folder = RunFolder(tmp_path, CONFIG, resume=False)
    folder.log(1500, {"loss": 0.25})
    folder.log(3000, {"loss": 0.125, "other": 1.0})
    folder.close()
    folder.close()

    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert lines == [{"kimg": 1.5, "loss": 0.25}, {"kimg": 3.0, "loss": 0.125, "other": 1.0}]
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert events.stat().st_size > 100


def test_newer_statistics_and_half_written_lines_are_dropped(tmp_path):
    folder = RunFolder(tmp_path, CONFIG, resume=False)
    stats = tmp_path / "stats.jsonl"
    stats.write_text('{"kimg": 1.0}\n{"kimg": 2.0}\n{"kimg": 3.0}\n{"kimg": 4.0, "lo')

    folder.drop_stats_after(2000)

    assert stats.read_text() == '{"kimg": 1.0}\n{"kimg": 2.0}\n'


@pytest.mark.parametrize("images_seen", [2007, 32112, 100_000])
def test_the_line_of_the_snapshot_itself_stays(tmp_path, images_seen):
    folder = RunFolder(tmp_path, CONFIG, resume=False)
    folder.log(images_seen, {"loss": 1.0})
    folder.close()

    folder.drop_stats_after(images_seen)

    assert len((tmp_path / "stats.jsonl").read_text().splitlines()) == 1


def test_without_statistics_there_is_nothing_to_drop(tmp_path):
    RunFolder(tmp_path, CONFIG, resume=False).drop_stats_after(0)

    assert not (tmp_path / "stats.jsonl").exists()


def test_the_folder_of_a_running_process_is_refused_and_free_when_it_is_killed(tmp_path):
    code = (
        "import sys, time; from monai_semigan.files import RunLock\n"
        "lock = RunLock(sys.argv[1]).take(); print('locked', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "locked\n"
        with pytest.raises(TrainingError, match=rf"process {child.pid} on .* works in it"):
            RunFolder(tmp_path, CONFIG, resume=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".run.lock"]
    finally:
        child.kill()
        child.communicate()

    RunFolder(tmp_path, CONFIG, resume=True).close()
