# SPDX-License-Identifier: Apache-2.0
"""The loop that all baselines share: budget, rates, checkpoint, what is refused."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from monai_semigan.baselines.budget import Budget, Stopwatch
from monai_semigan.baselines.frame import (
    Batch,
    FrameSettings,
    LearningData,
    Method,
    Sizes,
    Trained,
    train_baseline,
)
from monai_semigan.baselines.methods import BASELINES, BaselineSettings, baseline
from monai_semigan.errors import ConfigError, TrainingError
from monai_semigan.training.pool_scores import pool_dice

CPU = torch.device("cpu")


class Spy(Method):
    """Learns nothing; its network says all background until step 3, then what is bright, then background again."""

    uses_unlabelled = True

    def __init__(self, settings: FrameSettings, sizes: Sizes, loss: float = 1.0) -> None:
        super().__init__(settings)
        self.sizes, self.loss = sizes, loss
        self.network = Bright()
        self.optimizer = torch.optim.SGD([*self.network.parameters()], lr=0.1)
        self.batches: list[Batch] = []
        self.rates: list[float] = []

    @property
    def candidates(self) -> list[nn.Module]:
        return [self.network]

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.optimizer]

    def step(self, batch: Batch) -> Tensor:
        self.batches.append(batch)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.network.scale.data.fill_(1.0 if len(self.batches) == 3 else 0.0)
        return torch.tensor(self.loss)


class Bright(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(image), self.scale * image - 1e-3], dim=1)


def spied(data: LearningData, budget: Budget, **changes: float) -> tuple[Spy, Trained]:
    made: list[Spy] = []

    def make(settings: FrameSettings, sizes: Sizes) -> Spy:
        made.append(Spy(settings, sizes))
        return made[0]

    settings = FrameSettings(batch_size=3, validations=6, **changes)
    trained = train_baseline(make, data, settings, budget=budget, device=CPU)
    return made[0], trained


def test_the_best_network_on_validation_is_kept_and_steps_are_counted(data: LearningData) -> None:
    spy, trained = spied(data, Budget(steps=6))

    assert len(spy.batches) == trained.steps == 6
    assert float(trained.network.scale) == 1.0 and float(spy.network.scale.detach()) == 0.0
    assert trained.dice == pytest.approx(float(pool_dice(trained.network, data.validation, CPU).mean()))
    assert trained.dice > 0.9
    assert not trained.network.training and not any(part.requires_grad for part in trained.network.parameters())


def test_rates_rise_and_fall(data: LearningData) -> None:
    spy, _ = spied(data, Budget(steps=20), warm_up=0.2)

    assert spy.rates[0] < 0.01 and max(spy.rates) == pytest.approx(0.1, rel=0.1)
    assert spy.rates.index(max(spy.rates)) == 4 and spy.rates[-1] < 0.005
    assert [batch.done for batch in spy.batches] == [at / 20 for at in range(20)]
    assert [batch.images_seen for batch in spy.batches[:2]] == [3, 6]


def test_batches_hold_both_kinds_and_labels_follow_their_images(data: LearningData) -> None:
    spy, _ = spied(data, Budget(steps=4))

    for batch in spy.batches:
        assert batch.image.shape == batch.unlabelled.shape == (3, 1, 32, 32) and batch.target.shape == (3, 2, 32, 32)
        inside = batch.target[:, 1:] > 0.9
        assert batch.image[inside].mean() > batch.image[batch.target[:, :1] > 0.9].mean() + 0.8


def test_seconds_end_a_training(data: LearningData, settings: BaselineSettings) -> None:
    make = baseline("unet", settings)
    shares: list[int] = []

    trained = train_baseline(
        make, data, settings.frame, budget=Budget(seconds=0.5), device=CPU, progress=lambda done, _: shares.append(done)
    )

    assert 0.5 <= trained.seconds < 2 and trained.steps == len(shares)
    assert shares == sorted(shares) and shares[-1] == 1000


@pytest.mark.parametrize("name", BASELINES)
def test_every_method_learns_and_the_same_seed_gives_the_same(
    name: str, data: LearningData, settings: BaselineSettings
) -> None:
    few = {
        seed: train_baseline(
            baseline(name, settings), data, settings.frame, budget=Budget(steps=2), device=CPU, seed=seed
        )
        for seed in (1, 2)
    }
    again = train_baseline(baseline(name, settings), data, settings.frame, budget=Budget(steps=2), device=CPU, seed=1)
    image = data.validation.images
    torch.testing.assert_close(again.network(image), few[1].network(image), rtol=0, atol=0)
    assert not torch.equal(few[2].network(image), few[1].network(image))

    many = train_baseline(baseline(name, settings), data, settings.frame, budget=Budget(steps=60), device=CPU)

    assert many.dice > 0.8
    assert many.network(image).shape == (5, 2, 32, 32)


@pytest.mark.parametrize("name", BASELINES)
def test_one_labelled_image_is_enough_to_run(name: str, data: LearningData, settings: BaselineSettings) -> None:
    one = replace(data, labelled=data.labelled.subset([0]))
    trained = train_baseline(baseline(name, settings), one, settings.frame, budget=Budget(steps=2), device=CPU)
    assert math.isfinite(trained.dice)


def test_what_cannot_be_trained_is_refused(data: LearningData, settings: BaselineSettings) -> None:
    lonely = replace(data, unlabelled=None)
    for name in ("mean-teacher", "adv-ssl", "gct"):
        with pytest.raises(ConfigError, match="must have unlabelled images"):
            train_baseline(baseline(name, settings), lonely, settings.frame, budget=Budget(steps=1), device=CPU)
    train_baseline(baseline("unet", settings), lonely, settings.frame, budget=Budget(steps=1), device=CPU)
    with pytest.raises(ConfigError, match=r"`name` must be one of unet, .*gct, got 'vnet'"):
        baseline("vnet", settings)
    with pytest.raises(TrainingError, match="must stay finite"):
        train_baseline(
            lambda frame, sizes: Spy(frame, sizes, math.nan), data, FrameSettings(), budget=Budget(steps=2), device=CPU
        )
    for wrong in ({}, {"seconds": 1.0, "steps": 1}):
        with pytest.raises(ConfigError, match="seconds or steps"):
            Budget(**wrong)
    with pytest.raises(ConfigError, match="features"):
        BaselineSettings(unet=(4, 4))


def test_waiting_uses_no_budget() -> None:
    watch = Stopwatch(CPU)
    with watch:
        time.sleep(0.3)
    assert watch.seconds < 0.1
    started = time.process_time()
    with watch:
        while time.process_time() - started < 0.2:
            pass
    assert 0.15 < watch.seconds < 0.4
    assert (
        Budget(seconds=4.0).share(seconds=1.0, steps=9) == 0.25 and Budget(steps=4).share(seconds=9.0, steps=1) == 0.25
    )
