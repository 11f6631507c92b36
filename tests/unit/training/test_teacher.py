# SPDX-License-Identifier: Apache-2.0
"""The teacher: it learns, it is kept whole, and its gradient goes where the pair discriminator's goes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from monai_semigan.errors import CheckpointError, ConfigError
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.settings import read_settings
from monai_semigan.training import encoder_step as encoder_step_module
from monai_semigan.training import teacher_training as teacher_module
from monai_semigan.training.consistency import ConsistencySettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.perturb import PerturbSettings
from monai_semigan.training.pool import ImagePool, LabelledPool
from monai_semigan.training.snapshot import latest_snapshot, load_snapshot
from monai_semigan.training.teacher import (
    TEACHER_NAME,
    TRAINED_AGAIN,
    LabelTeacher,
    TeacherSettings,
    load_teacher,
    save_teacher,
)
from monai_semigan.training.teacher_training import train_teacher
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings

CPU = torch.device("cpu")
SMALL = TeacherSettings(features=(4, 8), steps=2, batch_size=2)


def blobs(n: int = 8) -> LabelledPool:
    """Bright disks on dark ground, and where they are."""
    rng = torch.Generator().manual_seed(3)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    center = torch.rand(n, 2, 1, 1, generator=rng) * 0.5 + 0.25
    inside = ((rows - center[:, 0]).square() + (columns - center[:, 1]).square() < 0.04).float()[:, None]
    return LabelledPool(inside * 1.2 - 0.6, torch.cat([1 - inside, inside], dim=1))


def test_it_learns_the_labelled_images() -> None:
    pool = blobs()
    teacher = train_teacher(pool, TeacherSettings(features=(8, 8, 8), steps=150, batch_size=8), device=CPU)
    probability = teacher(pool.images)
    found = probability[:, 1] > 0.5
    wanted = pool.targets[:, 1] > 0.5
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.9
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(8, 32, 32))
    assert not probability.requires_grad
    assert not teacher.training


def test_the_same_seed_gives_the_same_teacher() -> None:
    first, again, other = (train_teacher(blobs(), SMALL, device=CPU, seed=seed) for seed in (1, 1, 2))
    image = blobs().images
    torch.testing.assert_close(first(image), again(image), rtol=0, atol=0)
    assert not torch.equal(first(image), other(image))


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    teacher = train_teacher(blobs(), SMALL, device=CPU)
    save_teacher(tmp_path / TEACHER_NAME, teacher)
    again = load_teacher(tmp_path / TEACHER_NAME, device=CPU)
    torch.testing.assert_close(again(blobs().images), teacher(blobs().images), rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_it_takes_pixels_as_channels_where_the_network_does(tmp_path: Path) -> None:
    network = NetworkSettings(image_size=64, downsampling=2, num_classes=2, channels=(4,) * 4, direct_widths=(4, 6))
    settings = SMALL.as_direct_route(network)
    assert (settings.features, settings.downsampling) == ((4, 6), 2)

    save_teacher(tmp_path / TEACHER_NAME, train_teacher(blobs(), settings, device=CPU))

    again = load_teacher(tmp_path / TEACHER_NAME, device=CPU)
    assert again.net.downs[0].conv1.weight.shape[1] == 4 * blobs().images.shape[1]
    assert again(blobs().images).shape == blobs().targets.shape
    plain = replace(network, direct_widths=())
    assert SMALL.as_direct_route(plain) == SMALL


def test_a_file_of_an_earlier_version_comes_back(tmp_path: Path) -> None:
    teacher = train_teacher(blobs(), SMALL, device=CPU)
    del teacher.sizes["downsampling"]
    save_teacher(tmp_path / TEACHER_NAME, teacher)
    again = load_teacher(tmp_path / TEACHER_NAME, device=CPU)
    torch.testing.assert_close(again(blobs().images), teacher(blobs().images), rtol=0, atol=0)

    for wrong in (3, "2", True):
        teacher.sizes["downsampling"] = wrong
        save_teacher(tmp_path / TEACHER_NAME, teacher)
        with pytest.raises(CheckpointError, match=r"Give the teacher\.pt"):
            load_teacher(tmp_path / TEACHER_NAME, device=CPU)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TEACHER_NAME).write_bytes(content)
    with pytest.raises(CheckpointError, match="teacher"):
        load_teacher(tmp_path / TEACHER_NAME, device=CPU)


def test_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format": "other"}, tmp_path / TEACHER_NAME)
    with pytest.raises(CheckpointError, match="format"):
        load_teacher(tmp_path / TEACHER_NAME, device=CPU)


def test_only_a_runs_own_file_is_to_be_deleted(tmp_path: Path) -> None:
    torch.save({"format": "other"}, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"Give the teacher\.pt"):
        load_teacher(tmp_path / "model.pt", device=CPU)
    with pytest.raises(CheckpointError, match="Delete it"):
        load_teacher(tmp_path / "model.pt", device=CPU, remedy=TRAINED_AGAIN)


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match="features"):
        TeacherSettings(network="basic_unet", features=(4, 4))
    with pytest.raises(ConfigError, match="2 to 9 widths"):
        TeacherSettings(features=(4,))
    with pytest.raises(ConfigError, match="steps"):
        TeacherSettings(steps=0)
    with pytest.raises(ConfigError, match="`downsampling` must be 1 for basic_unet"):
        TeacherSettings(network="basic_unet", features=(4,) * 6, downsampling=2)


def test_its_loss_reaches_label_heads_and_trunk_but_not_image_heads(make_gan, tmp_path: Path) -> None:
    trainer = make_gan(tmp_path, 2, teacher=SMALL)
    step = trainer.task.step
    step.follow(train_teacher(trainer.task.labelled, SMALL, device=CPU))
    step._update = lambda name, loss: None
    mapping, synthesis = step.networks.generator.mapping, step.networks.generator.synthesis
    image, label_logits = synthesis(mapping(torch.randn(2, mapping.z_dim)))
    loss = step._step_generator(image, label_logits)["loss_teacher"]
    parameters = dict(step.networks.generator.named_parameters())
    grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    seen = {key: grad for key, grad in zip(parameters, grads, strict=True) if grad is not None}
    moved = {key for key, grad in seen.items() if grad.abs().sum() > 0}
    assert any("to_label" in key for key in moved)
    assert any("conv" in key and "to_" not in key for key in moved), "the trunk"
    assert not any("to_image" in key for key in moved)


def test_a_resumed_run_keeps_its_teacher_and_its_numbers(make_gan, tmp_path: Path) -> None:
    make_gan(tmp_path / "whole", 12, teacher=SMALL).run()
    make_gan(tmp_path / "parts", 4, teacher=SMALL).run()
    before = (tmp_path / "parts" / TEACHER_NAME).read_bytes()
    make_gan(tmp_path / "parts", 12, teacher=SMALL, resume=True).run()
    assert (tmp_path / "parts" / TEACHER_NAME).read_bytes() == before
    whole, parts = (
        load_snapshot(latest_snapshot(tmp_path / name))["step"]["networks"]["generator"] for name in ("whole", "parts")
    )
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=0, atol=0)


def test_a_lost_teacher_is_trained_again_alike(make_gan, tmp_path: Path) -> None:
    make_gan(tmp_path, 4, teacher=SMALL).run()
    before = load_teacher(tmp_path / TEACHER_NAME, device=CPU).state_dict()
    (tmp_path / TEACHER_NAME).unlink()
    make_gan(tmp_path, 8, teacher=SMALL, resume=True).run()
    for key, value in load_teacher(tmp_path / TEACHER_NAME, device=CPU).state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_the_pair_discriminator_sees_perturbed_images(make_gan, tmp_path: Path, monkeypatch) -> None:
    step = make_gan(tmp_path, 2).task.step
    assert step._perturb_pair(torch.zeros(2, 1, 32, 32)).abs().sum() == 0
    step.perturb_pair = PerturbSettings(probability=1.0)
    image = torch.zeros(2, 1, 32, 32, requires_grad=True)
    perturbed = step._perturb_pair(image)
    assert perturbed.abs().sum() > 0
    assert not perturbed.requires_grad


def test_the_encoder_is_taught_on_unlabelled_images(make_segmenter) -> None:
    class Says(LabelTeacher):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            self.asked = image
            return torch.cat([torch.zeros_like(image), torch.ones_like(image)], dim=1)  # all foreground

    teacher = Says(image_channels=1, num_classes=2, features=SMALL.features)
    pool = blobs(2)
    step = EncoderStep(make_segmenter(), EncoderSettings(), teacher=teacher)
    unlabelled = torch.full((2, 1, 32, 32), 0.25)
    torch.manual_seed(0)
    stats = step(unlabelled, pool.images, pool.targets, images_seen=0, total_images=100)
    assert stats["loss_teacher"] > 0
    torch.testing.assert_close(teacher.asked, unlabelled)  # a warped flat image is flat: these are the unlabelled ones


def test_teacher_and_encoder_see_other_modalities_when_asked(make_segmenter, monkeypatch) -> None:
    asked = []

    def spied(image: torch.Tensor, settings: CrossModalitySettings) -> torch.Tensor:
        asked.append((len(image), settings))
        return image

    other = CrossModalitySettings(probability=1.0)
    monkeypatch.setattr(teacher_module, "cross_modality", spied)
    train_teacher(blobs(), replace(SMALL, other_modality=other), device=CPU)
    assert asked == [(2, other), (2, other)]
    asked.clear()

    monkeypatch.setattr(encoder_step_module, "cross_modality", spied)
    pool = blobs(2)
    for settings in (EncoderSettings(), EncoderSettings(other_modality=other)):
        EncoderStep(make_segmenter(), settings)(pool.images, pool.images, pool.targets, images_seen=0, total_images=100)
    assert asked == [(6, other)]


def test_settings_from_json_reach_the_nested_ones() -> None:
    settings = read_settings(
        TeacherSettings, {"steps": 3, "other_modality": {"noise": 0.0}, "perturb": {"blur": 0.5}}, "teacher"
    )
    assert settings.other_modality == CrossModalitySettings(noise=0.0)
    assert settings.perturb.blur == 0.5
    assert read_settings(TeacherSettings, {"other_modality": None}, "teacher").other_modality is None
    with pytest.raises(ConfigError, match="other_modality"):
        read_settings(TeacherSettings, {"other_modality": {"unknown": 1}}, "teacher")


def test_training_without_a_teacher_needs_no_monai():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('monai', 'pydicom', 'nibabel', 'SimpleITK'))\n"
        "import monai_semigan.training.gan_task, monai_semigan.training.encoder_task\n"
        "import monai_semigan.segmentation.segmenter"
    )

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_unlabelled_images_teach_by_consistency() -> None:
    """Labelled disks are bright on dark; of dark disks on bright there are unlabelled ones alone."""
    pool = blobs()
    settings = TeacherSettings(
        features=(8, 8, 8),
        steps=150,
        batch_size=8,
        consistency=ConsistencySettings(weight=1.0, ramp_up=0.2, half_life_kimg=0.04),
    )
    teacher = train_teacher(pool, settings, unlabelled=ImagePool(-pool.images), device=CPU)
    again = train_teacher(pool, settings, unlabelled=ImagePool(-pool.images), device=CPU)
    other = train_teacher(pool, settings, unlabelled=ImagePool(pool.images * 0.2), device=CPU)

    found, wanted = teacher(pool.images)[:, 1] > 0.5, pool.targets[:, 1] > 0.5
    assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.85
    torch.testing.assert_close(again(pool.images), teacher(pool.images), rtol=0, atol=0)
    assert not torch.equal(other(pool.images), teacher(pool.images))
    assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())
