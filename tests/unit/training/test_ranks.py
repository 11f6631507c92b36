# SPDX-License-Identifier: Apache-2.0
"""Two processes that train together come to the numbers of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import ConfigError
from monai_semigan.training.ranks import ALONE, Ranks, current_ranks, join_ranks, joined_ranks
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot

SCRIPT = Path(__file__).parents[2] / "train_in_ranks.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def train(folder: Path, kind: str, total: int, *flags: str, processes: int) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-W", "ignore", *(TORCHRUN if processes > 1 else [])]
    return subprocess.run(
        [*start, str(SCRIPT), str(folder), kind, str(total), *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def stats(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def weights(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    path = latest_snapshot(folder)
    assert path is not None
    step = load_snapshot(path)["step"]
    parts = step["networks"] if kind == "gan" else {"encoder": step["encoder"], "encoder_ema": step["encoder_ema"]}
    return {f"{part}.{name}": value for part, state in parts.items() for name, value in state.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of 32 images, by one process and by two."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("gan", "encoder"):
        for processes in (1, 2):
            done = train(folder / f"{kind}-{processes}", kind, 32, processes=processes)
            assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("kind", ["gan", "encoder"])
def test_two_processes_come_to_the_numbers_of_one_with_the_same_batch(kind: str, runs: Path) -> None:
    one, two = stats(runs / f"{kind}-1"), stats(runs / f"{kind}-2")

    assert len(one) == len(two) == 4
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-4)
    expected_weights, found_weights = weights(runs / f"{kind}-1", kind), weights(runs / f"{kind}-2", kind)
    for name, value in expected_weights.items():
        torch.testing.assert_close(found_weights[name], value, rtol=1e-2, atol=1e-3, msg=lambda text, n=name: n + text)


def test_a_resumed_run_of_two_equals_an_uninterrupted_one(runs: Path, tmp_path: Path) -> None:
    for total, flags in ((16, ()), (32, ("--resume",))):
        done = train(tmp_path / "parts", "gan", total, *flags, processes=2)
        assert done.returncode == 0, done.stderr[-3000:]

    assert stats(tmp_path / "parts") == stats(runs / "gan-2")


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    batch = torch.arange(6)

    torch.testing.assert_close(Ranks(1, 2).share(batch), torch.tensor([1, 3, 5]))
    assert ALONE.share(batch) is not None and len(ALONE.share(batch)) == 6
    with pytest.raises(ConfigError, match="multiple of the 4 processes, got 6"):
        Ranks(0, 4).share(batch)


def test_one_process_sends_nothing() -> None:
    value = torch.ones(3)

    with joined_ranks() as ranks:
        assert ranks == current_ranks() == ALONE
        ranks.average_([value])
        ranks.wait()
        assert ranks.gather("x") == ["x"]
    torch.testing.assert_close(value, torch.ones(3))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")

    with pytest.raises(ConfigError, match="must have a GPU of its own, but there are 1 for more"):
        join_ranks()
