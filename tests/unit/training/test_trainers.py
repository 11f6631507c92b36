"""Runs: resumed runs equal uninterrupted ones, kills lose one interval, NaN stops."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import ConfigError, TrainingError
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.encoder_task import EncoderTask
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep
from monai_semigan.training.gan_task import GanTask
from monai_semigan.training.loop import RunSettings, TrainingLoop
from monai_semigan.training.pool import ImagePool, LabelledPool
from monai_semigan.training.pool_scores import mean_dice
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot

TINY = {
    "image_size": 32, "num_classes": 2, "z_dim": 8, "w_dim": 8, "num_mapping_layers": 1, "channels": [4, 4, 4, 4],
    "encoder_channels": [4, 4, 4, 4], "head_channels": 4,
}  # fmt: skip


def pools() -> tuple[ImagePool, LabelledPool]:
    rng = torch.Generator().manual_seed(5)
    images = torch.rand(6, 1, 32, 32, generator=rng) * 2 - 1
    foreground = (images > 0).float()
    return ImagePool(images), LabelledPool(images[:3], torch.cat([1 - foreground, foreground], dim=1)[:3])


def gan(folder: Path, total: int, *, resume: bool = False, **settings) -> TrainingLoop:
    torch.manual_seed(0)
    segmenter = SemiGanSegmenter(**TINY)
    networks = GanNetworks(
        segmenter.generator,
        copy.deepcopy(segmenter.generator).requires_grad_(False),
        segmenter.d_image,
        MultiscaleDiscriminator(num_scales=1, base_channels=4),
    )
    step = GanStep(
        networks,
        GanSettings(r1_interval=2, path_length_interval=3, **settings),
        augment_image=AugmentSettings(ramp_kimg=0.1),
        augment_pair=AugmentSettings(),
    )
    run = RunSettings(total_kimg=total / 1000, batch_size=2, tick_kimg=0.004, num_samples=2)
    unlabelled, labelled = pools()
    return TrainingLoop(GanTask(step, unlabelled=unlabelled, labelled=labelled, settings=run), folder, resume=resume)


def encoder(
    folder: Path, total: int, *, resume: bool = False, sizes: tuple[int, ...] = (), started: tuple[str, ...] = ()
) -> TrainingLoop:
    torch.manual_seed(0)
    network = SemiGanSegmenter(**TINY, feature_sizes=sizes)
    step = EncoderStep(network, EncoderSettings(ema_half_life_kimg=0.01), started=started)
    run = RunSettings(total_kimg=total / 1000, batch_size=2, tick_kimg=0.004, num_samples=2)
    unlabelled, labelled = pools()
    task = EncoderTask(step, unlabelled=unlabelled, labelled=labelled, validation=labelled, settings=run)
    return TrainingLoop(task, folder, resume=resume)


def stats_of(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def assert_same(a, b, path: str = "") -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, (list, tuple)):
        for at, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{at}")
    else:
        assert a == b, path


def test_resumed_gan_equals_the_uninterrupted_one(tmp_path):
    gan(tmp_path / "whole", 20).run()
    gan(tmp_path / "parts", 8).run()
    torch.rand(3)  # the random state in between does not matter
    gan(tmp_path / "parts", 20, resume=True).run()

    a, b = (load_snapshot(latest_snapshot(tmp_path / name)) for name in ("whole", "parts"))
    assert_same(a, b)
    assert stats_of(tmp_path / "whole") == stats_of(tmp_path / "parts")
    sheets = [(tmp_path / name / "samples-00000020.png").read_bytes() for name in ("whole", "parts")]
    assert sheets[0] == sheets[1]


@pytest.mark.parametrize("of", [{}, {"sizes": (8, 32), "started": ("stem.weight", "heads.0.bias")}])
def test_resumed_encoder_equals_the_uninterrupted_one(tmp_path, of):
    encoder(tmp_path / "whole", 16, **of).run()
    trainer = encoder(tmp_path / "parts", 16, **of)
    iterate, calls = trainer.task.iterate, []

    def interrupted(images_seen):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return iterate(images_seen)

    trainer.task.iterate = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    encoder(tmp_path / "parts", 16, resume=True, **of).run()

    a, b = (load_snapshot(latest_snapshot(tmp_path / name)) for name in ("whole", "parts"))
    assert_same(a, b)
    assert stats_of(tmp_path / "whole") == stats_of(tmp_path / "parts")


def test_best_encoder_is_a_trained_segmenter(tmp_path):
    trainer = encoder(tmp_path / "run", 8)
    generator_before = {key: value.clone() for key, value in trainer.task.step.generator.state_dict().items()}
    trainer.run()

    network = SemiGanSegmenter(**TINY)
    network.load_state_dict(torch.load(tmp_path / "run" / "best.pt", weights_only=True))
    network.require_trained()
    assert_same(generator_before, dict(network.generator.state_dict()))
    best = max(line["validation_dice"] for line in stats_of(tmp_path / "run"))
    assert stats_of(tmp_path / "run")[-1]["best_dice"] == best


def test_mean_dice_by_hand():
    logits = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]]])
    target = torch.tensor([[[[1.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]])

    assert mean_dice(logits, target).item() == pytest.approx(2 / 3)
    assert mean_dice(-logits * 0, target * 0).item() == 1.0


def test_a_run_is_not_started_over_or_resumed_with_other_settings(tmp_path):
    gan(tmp_path / "run", 4).run()

    with pytest.raises(ConfigError, match="--resume"):
        gan(tmp_path / "run", 4).run()
    with pytest.raises(ConfigError, match="another gan"):
        gan(tmp_path / "run", 8, resume=True, r1_gamma=5.0).run()


def test_nan_stops_and_keeps_the_last_good_snapshot(tmp_path):
    gan(tmp_path / "run", 4).run()
    trainer = gan(tmp_path / "run", 12, resume=True)
    iterate = trainer.task.iterate

    def broken(images_seen):
        with torch.no_grad():
            trainer.task.step.networks.d_pair.critics[0].last.bias.fill_(float("nan"))
        return iterate(images_seen)

    trainer.task.iterate = broken

    with pytest.raises(TrainingError, match=r"loss_d_pair.*snapshot-00000004\.pt"):
        trainer.run()
    assert latest_snapshot(tmp_path / "run").name == "snapshot-00000004.pt"
    load_snapshot(latest_snapshot(tmp_path / "run"))


def test_a_killed_run_resumes_with_the_same_numbers(tmp_path):
    """SIGKILL of a child process in the middle; at most the interval since the last snapshot is lost."""
    script = tmp_path / "child.py"
    script.write_text(
        f"import importlib.util, torch\ntorch.set_num_threads(1)\n"
        f"spec = importlib.util.spec_from_file_location('tests', {str(Path(__file__))!r})\n"
        f"module = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
        f"from pathlib import Path\nmodule.gan(Path({str(tmp_path / 'killed')!r}), 100_000).run()\n"
    )
    child = subprocess.Popen([sys.executable, str(script)])
    try:
        deadline = time.monotonic() + 60
        while latest_snapshot(tmp_path / "killed") is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    done = load_snapshot(latest_snapshot(tmp_path / "killed"))["images_seen"]
    gan(tmp_path / "killed", done + 4, resume=True).run()
    gan(tmp_path / "whole", done + 4).run()

    a, b = (load_snapshot(latest_snapshot(tmp_path / name)) for name in ("killed", "whole"))
    assert_same(a, b)
    assert stats_of(tmp_path / "killed") == stats_of(tmp_path / "whole")


def test_run_folder_holds_what_a_reader_needs(tmp_path):
    gan(tmp_path / "run", 4).run()

    record = json.loads((tmp_path / "run" / "resolved_config.json").read_text())
    assert record["config"]["gan"]["r1_interval"] == 2
    assert record["config"]["run"]["seed"] == 0
    assert {"torch", "monai_semigan"} <= record["versions"].keys()
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert (tmp_path / "run" / "samples-00000004.png").exists()


def test_a_damaged_configuration_is_named_and_leftovers_are_removed(tmp_path):
    gan(tmp_path / "run", 4).run()
    leftover = tmp_path / "run" / ".snapshot-00000008.pt.1.tmp"
    leftover.write_bytes(b"half")
    gan(tmp_path / "run", 8, resume=True).run()
    assert not leftover.exists()

    (tmp_path / "run" / "resolved_config.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        gan(tmp_path / "run", 8, resume=True).run()
