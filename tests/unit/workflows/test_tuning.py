# SPDX-License-Identifier: Apache-2.0
"""How many steps a bundle needs: tried on validation images, the fewest that are good enough, stored in the bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.cli.tune import command
from monai_semigan.errors import BundleError, ConfigError, InputError
from monai_semigan.workflows import evaluate, segment, tune, tuning


def stored_steps(bundle: Path) -> tuple[int, int]:
    inference = json.loads((bundle / "configs" / "inference.json").read_text())
    return open_bundle(bundle).inversion.steps, inference["steps"]


@pytest.fixture
def dice_by_steps(monkeypatch: pytest.MonkeyPatch):
    """Replace the segmentation: every image of a number of steps has a given Dice."""

    def pretend(dice: dict[int, float]) -> None:
        monkeypatch.setattr(
            tuning,
            "_scores",
            lambda entries, bundle, network, settings, **_: (
                [(dice[settings.steps], dice[settings.steps] - 0.1)] * len(entries)
            ),
        )

    return pretend


def test_the_scores_are_those_of_segment_and_evaluate(tiny_bundle: Path, datalist: Path, tmp_path: Path) -> None:
    result = tune(tiny_bundle, datalist, steps=[0, 3])

    folder = datalist.parent
    segment([folder / "images" / "case3.png"], bundle=tiny_bundle, output=tmp_path / "out", steps=3)
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "case3.png").write_bytes((folder / "masks" / "case3.png").read_bytes())
    expected = evaluate(tmp_path / "out", tmp_path / "reference", tmp_path / "scores", binary=True)
    dice = next(summary.mean for summary in expected.summaries if summary.metric == "dice")
    assert [row.steps for row in result.rows] == [0, 3]
    assert result.rows[1].dice == pytest.approx(dice, abs=1e-6)
    assert (result.num_images, result.stored_steps) == (1, 2)
    numbers = json.loads((tmp_path / "out" / "case3" / "case.json").read_text())
    assert result.rows[1].min_expected_dice == pytest.approx(numbers["expected_dice"]["lung"], abs=1e-6)


@pytest.mark.parametrize(
    ("dice", "steps"),
    [
        ({0: 0.90, 5: 0.91, 10: 0.93, 20: 0.9305}, 10),
        ({0: 0.92, 5: 0.91, 10: 0.90}, 0),
        ({5: 0.5, 50: 0.6}, 50),
    ],
)
def test_the_fewest_steps_within_a_thousandth_are_enough(tiny_bundle, datalist, dice_by_steps, dice, steps) -> None:
    dice_by_steps(dice)
    before = stored_steps(tiny_bundle)

    assert tune(tiny_bundle, datalist, steps=list(dice)).steps == steps
    assert stored_steps(tiny_bundle) == before


def test_the_number_is_stored_for_both_ways_to_run_a_bundle(tiny_bundle, datalist, dice_by_steps) -> None:
    dice_by_steps({0: 0.5, 7: 0.9})

    tune(tiny_bundle, datalist, steps=[7, 0], write=True)

    assert stored_steps(tiny_bundle) == (7, 7)
    assert open_bundle(tiny_bundle).image_chain.min_expected_dice == 0.8


def test_progress_counts_images_over_all_numbers(tiny_bundle, datalist, dice_by_steps) -> None:
    dice_by_steps({0: 0.5, 1: 0.5})
    calls: list[tuple[int, int]] = []

    tune(tiny_bundle, datalist, steps=[0, 1], progress=lambda done, total: calls.append((done, total)))

    assert calls == [(1, 2), (2, 2)]


def test_a_list_without_validation_images_is_refused(tiny_bundle: Path, datalist: Path) -> None:
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"validation": []}))

    with pytest.raises(InputError, match="must have validation images, got none"):
        tune(tiny_bundle, datalist)


@pytest.mark.parametrize("steps", [[], [5, -1]])
def test_numbers_of_steps_are_checked(tiny_bundle, datalist, steps) -> None:
    with pytest.raises(ConfigError, match="`steps` must be one or more numbers >= 0"):
        tune(tiny_bundle, datalist, steps=steps)


def test_a_bundle_for_volumes_is_refused(volume_bundle: Path, datalist: Path) -> None:
    with pytest.raises(BundleError, match="must be for images"):
        tune(volume_bundle, datalist)


def test_the_command_prints_a_table_or_json(tiny_bundle, datalist, dice_by_steps) -> None:
    dice_by_steps({0: 0.5, 4: 0.9})
    arguments = [str(tiny_bundle), str(datalist), "--steps", "0", "--steps", "4"]

    lines = CliRunner().invoke(command, arguments).stdout.splitlines()
    facts = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)

    assert lines[0].split() == ["steps", "Dice", "5", "%", "expected", "below", "s", "per", "image"]
    assert lines[2].split()[:3] == ["4", "0.9000", "0.800"]
    assert lines[3] == "1 images: 4 steps are enough (the bundle says 2)"
    assert lines[4] == "uncertain below an expected Dice of 0.800"
    assert facts["steps"] == 4 and len(facts["rows"]) == 2
