# SPDX-License-Identifier: Apache-2.0
"""A budget becomes lengths that fit it, and one that is too small is refused with what is needed."""

from __future__ import annotations

import pytest

from monai_semigan.errors import ConfigError
from monai_semigan.settings import read_settings, to_json
from monai_semigan.workflows.fit_plan import FitPlan, Speeds, clock, make_plan, parse_budget

MOST = {"teacher": 1200.0, "gan": 140.0, "encoder": 20.0, "unet": 2000.0}
SPEEDS = Speeds(teacher_step=0.5, unet_step=0.5, encoder_image=0.2, gan_image=0.05)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400), ("0.5d", 43200), (" 2H ", 7200)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2 h", "1e9h", "2h!", "1x"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="`budget` must be a time"):
        parse_budget(text)


@pytest.mark.parametrize("trains_gan", [False, True])
def test_the_stages_fit_the_budget(trains_gan: bool) -> None:
    plan = make_plan(3600, SPEEDS, most=MOST, trains_gan=trains_gan)
    spent = (plan.teacher_steps + plan.unet_steps) * 0.5 + plan.encoder_kimg * 200 + plan.gan_kimg * 50
    assert 0.5 * 3600 < spent < 0.95 * 3600
    assert (plan.gan_kimg > 0) is trains_gan
    assert len(plan.reasons) == (4 if trains_gan else 3)


def test_no_stage_is_longer_than_the_settings_ask_for() -> None:
    plan = make_plan(1e6, SPEEDS, most=MOST, trains_gan=True)
    assert (plan.teacher_steps, plan.gan_kimg, plan.encoder_kimg, plan.unet_steps) == (1200, 140.0, 20.0, 2000)
    assert all("all that the settings ask for" in reason for reason in plan.reasons)


@pytest.mark.parametrize(("trains_gan", "remedy"), [(True, "--base"), (False, "Give more time.$")])
def test_a_minute_is_too_little(trains_gan: bool, remedy: str) -> None:
    with pytest.raises(ConfigError, match=rf"at least \d+ (s|min) .* got 60 s.*{remedy}"):
        make_plan(60, SPEEDS, most=MOST, trains_gan=trains_gan)


def test_a_plan_comes_back_from_its_file() -> None:
    plan = make_plan(3600, SPEEDS, most=MOST, trains_gan=True)
    assert read_settings(FitPlan, to_json(plan), "plan.json") == plan


@pytest.mark.parametrize(("seconds", "text"), [(59.6, "60 s"), (600, "10 min"), (7200, "2.0 h")])
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert clock(seconds) == text
