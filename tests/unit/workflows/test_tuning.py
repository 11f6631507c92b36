# SPDX-License-Identifier: Apache-2.0
"""How many steps a bundle needs: tried on validation images, the fewest that are good enough, stored in the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.cli.tune import command
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.case import score_label
from monai_semigan.io.datalist import load_datalist
from monai_semigan.io.label_file import read_label
from monai_semigan.workflows import tuning
from monai_semigan.workflows.calibration_learning import learned_expectations
from monai_semigan.workflows.direct_share import store_share
from monai_semigan.workflows.limits import ScoredCase, limits_of
from monai_semigan.workflows.reading import read
from monai_semigan.workflows.tuning import tune


def stored_steps(bundle: Path) -> tuple[int, int]:
    inference = json.loads((bundle / "configs" / "inference.json").read_text())
    return open_bundle(bundle).inversion.steps, inference["steps"]


@pytest.fixture
def dice_by_steps(monkeypatch: pytest.MonkeyPatch):
    """Replace the segmentation: every image of a number of steps has a given Dice."""

    def pretend(dice: dict[int, float]) -> None:
        def segmented(segmenter, entries, **_):
            value = dice[segmenter.options.steps]
            return [ScoredCase("image", value, value - 0.1, 0.04)] * len(entries)

        monkeypatch.setattr(tuning, "_segmented", segmented)

    return pretend


def test_the_scores_are_those_of_segment_and_evaluate(tiny_bundle: Path, datalist: Path, edit_bundle) -> None:
    edit_bundle(tiny_bundle, max_image_error=1e-6)  # whatever the bundle called unlike before
    result = tune(tiny_bundle, datalist, steps=[0, 3])
    edit_bundle(tiny_bundle, max_image_error=10.0)
    store_share(tiny_bundle, result.direct_share)

    folder = datalist.parent
    segmenter = open_bundle(tiny_bundle).segmenter(device="cpu", steps=3)
    segmented = segmenter.segment(read(folder / "images" / "case3.png"))
    reference = read_label(folder / "masks" / "case3.png", binary=True)
    assert [row.steps for row in result.rows] == [0, 3]
    assert result.rows[1].dice == pytest.approx(score_label(segmented.label, reference).mean_dice, abs=1e-6)
    assert (result.num_cases, dict(result.stored_steps)) == (1, {"image": 2})
    limits = result.rows[1].limits["image"]
    opened = open_bundle(tiny_bundle)
    network = load_network(opened, device=torch.device("cpu"))
    learned = learned_expectations(opened, network, load_datalist(datalist))["image"].calibration
    assert limits.min_expected_dice == pytest.approx(learned(segmented.expected_dice["lung"]), abs=1e-6)
    assert limits.max_image_error == pytest.approx(1.25 * segmented.record.reconstruction.encoder, abs=1e-6)


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
    assert open_bundle(tiny_bundle).image_chain.max_image_error == 0.05


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


@pytest.fixture
def volume_list(tmp_path: Path, datalist: Path) -> Path:
    """The data list with one small CT for validation."""
    rng = np.random.default_rng(3)
    label = np.zeros((34, 36, 9), np.uint8)
    label[5:14, 9:20, 2:7] = 1
    voxels = rng.normal(40, 10, label.shape).astype(np.int16) + 100 * label.astype(np.int16)
    voxels[:3], voxels[-3:] = -1000, -1000  # air
    for name, values in (("ct", voxels), ("label", label)):
        nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), datalist.parent / f"{name}.nii.gz")
    content = json.loads(datalist.read_text())
    volumes = {"train": [], "validation": [{"image": "ct.nii.gz", "label": "label.nii.gz", "patient_id": "9"}]}
    datalist.write_text(json.dumps(content | {"volumes": volumes}))
    return datalist


def test_a_bundle_for_volumes_gets_limits_by_modality(volume_bundle: Path, volume_list: Path, monkeypatch) -> None:
    before = open_bundle(volume_bundle).chains["MR"]

    result = tune(volume_bundle, volume_list, steps=[0, 1], write=True)

    assert list(result.limits) == ["CT"] and result.limits["CT"].num_cases == 1 and result.rows[0].dice > 0
    after = open_bundle(volume_bundle).chains
    assert after["CT"].inversion.steps == result.steps and after["MR"].inversion == before.inversion
    assert after["CT"].max_image_error == pytest.approx(result.limits["CT"].max_image_error, rel=0.01)
    assert after["MR"].max_image_error == before.max_image_error
    assert any("No MR case was tried" in warning for warning in result.warnings)


def test_volumes_are_needed_for_a_bundle_for_volumes(volume_bundle: Path, datalist: Path) -> None:
    with pytest.raises(InputError, match=r"must have validation volumes \(`volumes.validation`\), got none"):
        tune(volume_bundle, datalist)
    for volumes in (3, {"validation": [3]}, {"validation": [{"image": "a.nii"}]}, {"validation": {}}):
        datalist.write_text(json.dumps(json.loads(datalist.read_text()) | {"volumes": volumes}))
        with pytest.raises(InputError, match="volumes"):
            tune(volume_bundle, datalist)


@pytest.mark.parametrize(("count", "warned"), [(19, True), (20, False)])
def test_a_handful_of_cases_gives_no_percentile(count: int, warned: bool) -> None:
    limits = limits_of([ScoredCase("image", 0.9, 0.5 + at / 100, 0.1 * at) for at in range(count)])

    assert bool(tuning._warnings(SimpleNamespace(chains={"image": None}), limits)) is warned
    assert limits["image"].max_image_error == pytest.approx(0.125 * (count - 1))
    assert 0.5 < limits["image"].min_expected_dice < 0.52


def test_the_command_prints_a_table_or_json(tiny_bundle, datalist, dice_by_steps) -> None:
    dice_by_steps({0: 0.5, 4: 0.9})
    arguments = ["-b", str(tiny_bundle), "--data", str(datalist), "--steps", "0", "--steps", "4"]

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    lines = result.stdout.splitlines()
    facts = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)

    assert lines[0].split() == ["steps", "Dice", "5", "%", "expected", "below", "error", "up", "to", "s", "per", "case"]
    assert lines[2].split()[:4] == ["4", "0.9000", "0.800", "0.050"]
    assert lines[3].startswith("weight of the direct route: ") and lines[3].endswith("(not stored: pass --write)")
    assert lines[4] == "1 cases: 4 steps are enough (the bundle says 2)"
    assert "warning: 1 cases give no percentile" in result.stderr
    assert facts["steps"] == 4 and len(facts["rows"]) == 2
