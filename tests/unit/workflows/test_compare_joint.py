# SPDX-License-Identifier: Apache-2.0
"""Our method's share of a comparison's budget, and what of its time counts."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.baselines.budget import Budget, Stopwatch
from monai_semigan.workflows.compare_joint import _Spent, share_out
from monai_semigan.workflows.fit_plan import Speeds

FAR = {"teacher": 1e6, "gan": 1e3, "encoder": 1e3}


@pytest.mark.parametrize("trains_gan", [False, True])
def test_the_stages_use_the_whole_budget(trains_gan: bool) -> None:
    speeds = Speeds(teacher_step=0.1, unet_step=0.1, encoder_image=0.05, gan_image=0.2 if trains_gan else 0.0)

    plan = share_out(Budget(seconds=600.0), speeds, most=FAR, trains_gan=trains_gan, batch_size=8)

    used = plan.teacher_steps * 0.1 + plan.encoder_kimg * 50 + plan.gan_kimg * 200
    assert used == pytest.approx(600, rel=0.01)
    assert bool(plan.gan_kimg) == trains_gan


def test_a_budget_of_steps_is_one_of_all_stages() -> None:
    plan = share_out(Budget(steps=90), None, most=FAR, trains_gan=False, batch_size=4)
    assert (plan.teacher_steps, plan.encoder_kimg, plan.gan_kimg) == (30, 60 * 4 / 1000, 0.0)


def test_no_stage_goes_beyond_its_settings_and_each_takes_a_step() -> None:
    most = {"teacher": 10.0, "gan": 1.0, "encoder": 0.02}
    plan = share_out(Budget(steps=10_000), None, most=most, trains_gan=True, batch_size=4)
    assert (plan.teacher_steps, plan.encoder_kimg, plan.gan_kimg) == (10, 0.02, 1.0)
    assert share_out(Budget(steps=1), None, most=FAR, trains_gan=False, batch_size=4).encoder_kimg > 0


def test_time_between_stages_does_not_count() -> None:
    class Watch(Stopwatch):
        def __init__(self, times: list[float]) -> None:
            super().__init__(torch.device("cpu"))
            self.times = iter(times)

        def now(self) -> float:
            return next(self.times)

    spent = _Spent(None, Watch([0.0, 9.0, 100.0, 101.0, 102.0, 500.0, 503.0, 506.0]))
    for _ in range(2):
        spent("timing", 1, 1)
    spent.begin()
    for stage in ("teacher",) * 3 + ("encoder",) * 3:
        spent(stage, 1, 3)

    assert spent.seconds == 3 * 1.0 + 3 * 3.0
