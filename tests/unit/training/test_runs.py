# SPDX-License-Identifier: Apache-2.0
"""Whole runs of both trainings: interrupted anywhere and resumed, stopped at NaN, what they leave behind."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from numbers_read import NumbersRead
from PIL import Image

from monai_semigan.errors import CheckpointError, ConfigError, TrainingError
from monai_semigan.training import loop as loop_module
from monai_semigan.training.loop import RunSettings
from monai_semigan.training.pool import LabelledPool
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot
from monai_semigan.training.teacher import TeacherSettings

NUM_IMAGES = 8


def stats_of(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


def flattened(value: object, name: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, item in pairs for k, v in flattened(item, f"{name}/{key}").items()}


def assert_same_run(a: Path, b: Path) -> None:
    """Bitwise the same weights, optimizers, random state and statistics."""
    states = [flattened(load_snapshot(latest_snapshot(folder))) for folder in (a, b)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        same = torch.equal(value, states[1][name]) if isinstance(value, torch.Tensor) else value == states[1][name]
        assert same, name
    assert stats_of(a) == stats_of(b)


class Killed(BaseException):
    """Stands for a signal: nothing in the package may catch it."""


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_run_interrupted_anywhere_resumes_with_the_same_numbers(tmp_path, make_run, iterations):
    make_run(tmp_path / "whole", NUM_IMAGES).run()
    trainer = make_run(tmp_path / "cut", NUM_IMAGES)
    iterate, calls = trainer.task.iterate, []

    def cut(images_seen):
        if len(calls) == iterations:
            raise Killed
        calls.append(1)
        return iterate(images_seen)

    trainer.task.iterate = cut
    with pytest.raises(Killed):
        trainer.run()
    torch.manual_seed(99)  # what happened in between does not matter
    make_run(tmp_path / "cut", NUM_IMAGES, resume=True).run()

    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("tick", [1, 2])
def test_a_run_interrupted_between_statistics_and_snapshot_resumes_with_the_same_numbers(
    tmp_path, make_run, monkeypatch, tick
):
    make_run(tmp_path / "whole", NUM_IMAGES).run()
    save, calls = loop_module.save_snapshot, []

    def cut(*args, **kwargs):
        calls.append(1)
        if len(calls) == tick:
            raise Killed
        return save(*args, **kwargs)

    monkeypatch.setattr(loop_module, "save_snapshot", cut)
    with pytest.raises(Killed):
        make_run(tmp_path / "cut", NUM_IMAGES).run()
    monkeypatch.undo()
    make_run(tmp_path / "cut", NUM_IMAGES, resume=True).run()

    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path, make_run):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(hash(name) % 1000)
        make_run(tmp_path / name, 4, seed=seed).run()

    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert stats_of(tmp_path / "a") != stats_of(tmp_path / "c")


def test_a_gan_run_can_be_made_longer(tmp_path, make_gan):
    make_gan(tmp_path / "whole", NUM_IMAGES).run()
    make_gan(tmp_path / "longer", 4).run()
    make_gan(tmp_path / "longer", NUM_IMAGES, resume=True).run()

    assert_same_run(tmp_path / "whole", tmp_path / "longer")


def test_an_encoder_run_cannot_be_made_longer_as_its_rate_depends_on_its_length(tmp_path, make_encoder):
    make_encoder(tmp_path, 4).run()

    with pytest.raises(ConfigError, match=r"another total_kimg. Resume with the same settings"):
        make_encoder(tmp_path, 8, resume=True).run()


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 3}, {"tick_kimg": 0.008}])
def test_other_run_settings_are_refused(tmp_path, make_run, change):
    make_run(tmp_path, 4).run()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}

    with pytest.raises(ConfigError, match="was started with another run"):
        make_run(tmp_path, 4, resume=True, **change).run()

    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_a_finished_run_resumed_does_nothing(tmp_path, make_run):
    last = make_run(tmp_path, 4).run()
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.*")}

    assert make_run(tmp_path, 4, resume=True).run() == last

    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.*")} == before


def test_resuming_where_no_run_lies_starts_one(tmp_path, make_run):
    make_run(tmp_path / "new", 4).run()
    make_run(tmp_path / "resumed", 4, resume=True).run()

    assert_same_run(tmp_path / "new", tmp_path / "resumed")


def test_a_damaged_snapshot_is_named_and_the_one_before_takes_over(tmp_path, make_run):
    make_run(tmp_path / "whole", NUM_IMAGES).run()
    last = make_run(tmp_path / "run", NUM_IMAGES).run()
    last.write_bytes(last.read_bytes()[:5000])

    with pytest.raises(CheckpointError, match=f"{last.name}.*Delete it to resume from the one before"):
        make_run(tmp_path / "run", NUM_IMAGES, resume=True).run()
    last.unlink()
    make_run(tmp_path / "run", NUM_IMAGES, resume=True).run()

    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("where", ["unlabelled", "labelled", "targets"])
def test_nan_in_the_data_stops_the_run_and_names_the_last_good_snapshot(tmp_path, make_run, where):
    make_run(tmp_path, NUM_IMAGES).run()
    for path in sorted(tmp_path.glob("snapshot-*"))[1:]:
        path.unlink()
    good = latest_snapshot(tmp_path)
    content = good.read_bytes()
    trainer = make_run(tmp_path, NUM_IMAGES, resume=True)
    pool = trainer.task.unlabelled if where == "unlabelled" else trainer.task.labelled
    (pool.targets if where == "targets" else pool.images).fill_(math.nan)

    with pytest.raises(TrainingError, match=rf"became NaN or infinite before image 8\. .*{good.name}\. Lower"):
        trainer.run()

    assert [path.name for path in sorted(tmp_path.glob("snapshot-*"))] == [good.name]
    assert good.read_bytes() == content
    assert [line["kimg"] for line in stats_of(tmp_path)] == [0.004]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_weight_that_shows_in_no_loss_stops_the_run(tmp_path, make_run, value):
    trainer = make_run(tmp_path, 4)
    name, network = next(iter(trainer.task.networks().items()))
    iterate = trainer.task.iterate

    def broken(images_seen):
        stats = iterate(images_seen)
        with torch.no_grad():
            next(network.parameters()).flatten()[0] = value
        return {"loss": torch.ones(()) if stats else torch.zeros(())}

    trainer.task.iterate = broken
    trainer.task.settings = RunSettings(total_kimg=0.002, batch_size=2, tick_kimg=0.002, num_samples=2)
    with pytest.raises(TrainingError, match=rf"stay finite, but {name}(, encoder_ema)? became NaN"):
        trainer.run()
    assert latest_snapshot(tmp_path) is None


def test_statistics_are_valid_json_in_order(tmp_path, make_run):
    make_run(tmp_path, NUM_IMAGES).run()

    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "stats.jsonl").read_text().splitlines()
    ]
    assert [line["kimg"] for line in lines] == [0.004, 0.008]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert all(line["images_per_second"] > 0 for line in lines)


def test_statistics_are_means_over_their_tick(tmp_path, make_gan):
    trainer = make_gan(tmp_path, 8)
    values = iter([1.0, 3.0, 10.0, 20.0])
    trainer.task.iterate = lambda images_seen: {
        "loss": torch.tensor(next(values)),
        **({} if images_seen else {"rare": torch.ones(())}),
    }
    trainer.run()

    assert [line["loss"] for line in stats_of(tmp_path)] == [2.0, 15.0]
    assert [line.get("rare") for line in stats_of(tmp_path)] == [1.0, None]


@pytest.mark.parametrize(("kind", "name"), [("make_gan", "samples"), ("make_encoder", "validation")])
def test_every_tick_leaves_a_sheet(tmp_path, request, kind, name):
    request.getfixturevalue(kind)(tmp_path, 8).run()

    sheets = sorted(tmp_path.glob(f"{name}-*.png"))
    assert [sheet.name for sheet in sheets] == [f"{name}-00000004.png", f"{name}-00000008.png"]
    with Image.open(sheets[0]) as sheet:
        assert sheet.size == (2 * 2 * 32 * 2, 32 * 2)  # two samples, each with its overlay, twice as large


def test_sheets_draw_the_same_codes_every_time(tmp_path, make_gan):
    trainer = make_gan(tmp_path, 4)
    state = torch.get_rng_state()
    trainer.task.report(tmp_path, 0)
    first = (tmp_path / "samples-00000000.png").read_bytes()
    trainer.task.report(tmp_path, 0)

    assert (tmp_path / "samples-00000000.png").read_bytes() == first
    assert torch.equal(state, torch.get_rng_state())


def test_progress_counts_images(tmp_path, make_gan):
    calls = []

    make_gan(tmp_path, 5, progress=lambda *call: calls.append(call)).run()

    assert calls == [("gan", 2, 5), ("gan", 4, 5), ("gan", 5, 5)]


def test_the_probability_of_augmentation_adapts_every_fourth_iteration(tmp_path, make_gan):
    trainer = make_gan(tmp_path, 16)
    values = []
    iterate = trainer.task.iterate

    def spied(images_seen):
        stats = iterate(images_seen)
        values.append(trainer.task.step.adaptive_image.value)
        return stats

    trainer.task.iterate = spied
    trainer.run()

    assert values[:3] == [0.2] * 3
    assert values[3] in (pytest.approx(0.2 + 8 / 100), pytest.approx(0.2 - 8 / 100))
    assert values[4:7] == [values[3]] * 3
    assert values[7] != values[6]


def test_both_trainings_take_hard_integer_labels(tmp_path, make_run):
    trainer = make_run(tmp_path, 4)
    soft = trainer.task.labelled
    hard = LabelledPool(soft.images, soft.targets.to(torch.uint8))
    trainer.task.labelled = hard
    if hasattr(trainer.task, "validation"):
        trainer.task.validation = hard

    trainer.run()

    assert len(stats_of(tmp_path)) == 1


def test_the_best_encoder_is_kept_when_a_later_one_is_worse(tmp_path, make_encoder, monkeypatch):
    from monai_semigan.training import encoder_task

    trainer = make_encoder(tmp_path, 12)
    scores, written = iter([0.5, 0.7, 0.6]), []
    monkeypatch.setattr(encoder_task, "mean_dice", lambda logits, _: torch.full((len(logits),), next(scores)))
    save = trainer.task._save_best
    trainer.task._save_best = lambda folder: (written.append(trainer.images_seen), save(folder))
    trainer.run()

    assert written == [4, 8]
    assert [line["best_dice"] for line in stats_of(tmp_path)] == pytest.approx([0.5, 0.7, 0.7])
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert best["is_trained"] == 1
    assert float(trainer.task.step.segmenter.is_trained) == 0


@pytest.mark.parametrize("name", ["total_kimg", "batch_size", "tick_kimg", "keep_snapshots", "num_samples"])
def test_run_settings_are_checked(name):
    with pytest.raises(ConfigError, match=f"`{name}` must be a .* got 0"):
        RunSettings(**{name: 0})


def test_no_iteration_waits_for_a_number(tmp_path, make_run, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: None)  # its counts lie on the CPU
    trainer = make_run(tmp_path, 100)

    with NumbersRead() as numbers:
        for at in range(4):  # in the fourth one the augmentation adapts
            stats = trainer.task.iterate(2 * at)
        assert numbers.count == 0
        float(next(iter(stats.values())))
        assert numbers.count == 1


def test_a_second_process_is_refused_while_a_run_goes_on(tmp_path, make_run):
    trainer, second = make_run(tmp_path, 4), make_run(tmp_path, 4, resume=True)
    iterate, refusals = trainer.task.iterate, []

    def disturbed(images_seen):
        with pytest.raises(
            TrainingError, match=rf"must be used by one run at a time, but process {os.getpid()} on .* works in it"
        ):
            second.run()
        refusals.append(images_seen)
        return iterate(images_seen)

    trainer.task.iterate = disturbed
    trainer.run()

    assert refusals == [0, 2]
    second.run()


def test_every_stage_shows_its_progress_and_keeps_to_the_length(tmp_path, make_gan):
    calls = []
    settings = TeacherSettings(features=(4, 4), steps=1000, batch_size=2)

    make_gan(tmp_path, 6, teacher=settings, progress=lambda *call: calls.append(call)).run()

    assert calls == [("teacher", 2, 6), ("teacher", 4, 6), ("teacher", 6, 6)] + [("gan", n, 6) for n in (2, 4, 6)]


def test_every_number_of_a_run_is_explained(tmp_path, make_run):
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    make_run(tmp_path, 4).run()

    names = {name for line in stats_of(tmp_path) for name in line} | {"images_per_second", "loss_teacher"}
    assert not {name for name in names if f"`{name}`" not in page}
    files = {path.name for path in tmp_path.iterdir()} - {path.name for path in tmp_path.glob("*-0*")}
    assert not {name for name in files if f"`{name.rstrip('/')}" not in page}
