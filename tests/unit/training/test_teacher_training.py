# SPDX-License-Identifier: Apache-2.0
"""A teacher's training that was ended goes on with the same numbers; what it cannot go on from is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.training import teacher_training
from monai_semigan.training.consistency import ConsistencySettings
from monai_semigan.training.pool import ImagePool
from monai_semigan.training.teacher import TEACHER_NAME, LabelTeacher, TeacherSettings, load_teacher
from monai_semigan.training.teacher_training import train_teacher
from tests.unit.training.test_teacher import SMALL, blobs

CPU = torch.device("cpu")
LONGER = replace(SMALL, steps=6)
WITH_UNLABELLED = replace(LONGER, consistency=ConsistencySettings(half_life_kimg=0.01))


class KilledError(Exception):
    pass


@pytest.fixture(autouse=True)
def _states_after_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_training, "INTERVAL", 2)


def trained(settings: TeacherSettings, path: Path | None, *, end_at: int | None = None, seed: int = 4) -> LabelTeacher:
    def end(stage: str, done: int, total: int) -> None:
        if end_at is not None and done >= end_at * settings.batch_size:
            raise KilledError

    unlabelled = ImagePool(blobs(5).images)
    return train_teacher(blobs(), settings, unlabelled=unlabelled, device=CPU, seed=seed, path=path, progress=end)


def ended(settings: TeacherSettings, path: Path) -> Path:
    """End a training after five of its steps; return the state of the fourth."""
    with pytest.raises(KilledError):
        trained(settings, path, end_at=5)
    assert not path.exists()
    return path.with_name("teacher-unfinished.pt")


@pytest.mark.parametrize("settings", [LONGER, WITH_UNLABELLED], ids=["labelled alone", "with unlabelled"])
def test_an_ended_training_goes_on_with_the_same_numbers(settings: TeacherSettings, tmp_path: Path) -> None:
    wanted = trained(settings, None).state_dict()
    state = ended(settings, tmp_path / TEACHER_NAME)
    assert state.exists()
    torch.manual_seed(99)  # another process
    steps: list[int] = []

    train_teacher(
        blobs(),
        settings,
        unlabelled=ImagePool(blobs(5).images),
        device=CPU,
        seed=4,
        path=tmp_path / TEACHER_NAME,
        progress=lambda _, done, total: steps.append(done // settings.batch_size),
    )

    assert steps == [5, 6]
    assert [file.name for file in tmp_path.iterdir()] == [TEACHER_NAME]
    for key, value in load_teacher(tmp_path / TEACHER_NAME, device=CPU).state_dict().items():
        torch.testing.assert_close(value, wanted[key], rtol=0, atol=0)


def test_nothing_is_written_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained(LONGER, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "seed"), [(replace(LONGER, steps=8), 4), (replace(LONGER, learning_rate=1e-3), 4), (LONGER, 5)]
)
def test_another_training_does_not_go_on_from_it(settings: TeacherSettings, seed: int, tmp_path: Path) -> None:
    state = ended(LONGER, tmp_path / TEACHER_NAME)
    before = state.read_bytes()

    with pytest.raises(ConfigError, match="same settings, images and seed, but is of another one"):
        trained(settings, tmp_path / TEACHER_NAME, seed=seed)

    assert state.read_bytes() == before and not (tmp_path / TEACHER_NAME).exists()


@pytest.mark.parametrize("what", ["images", "labels", "unlabelled images"])
def test_as_many_other_images_do_not_go_on_from_it(what: str, tmp_path: Path) -> None:
    state = ended(LONGER, tmp_path / TEACHER_NAME)
    before = state.read_bytes()
    labelled, unlabelled = blobs(), ImagePool(blobs(5).images)
    if what == "images":
        labelled = replace(labelled, images=-labelled.images)
    elif what == "labels":
        labelled = replace(labelled, targets=labelled.targets.flip(1))
    else:
        unlabelled = ImagePool(-unlabelled.images)

    with pytest.raises(ConfigError, match="same settings, images and seed, but is of another one"):
        train_teacher(labelled, LONGER, unlabelled=unlabelled, device=CPU, seed=4, path=tmp_path / TEACHER_NAME)

    assert state.read_bytes() == before


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    state = ended(LONGER, tmp_path / TEACHER_NAME)
    whole = torch.load(state, weights_only=True)
    for content, said in (
        ({**whole, "format": "other"}, "must have the format"),
        ({**whole, "parts": {}}, r"damaged \(KeyError\)"),
        ({**whole, "random": {}}, "random numbers"),
        ({**whole, "done": None}, r"damaged \(TypeError\)"),
    ):
        torch.save(content, state)
        with pytest.raises(CheckpointError, match=said):
            trained(LONGER, tmp_path / TEACHER_NAME)
    state.write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="Delete it to train the teacher from the start"):
        trained(LONGER, tmp_path / TEACHER_NAME)
