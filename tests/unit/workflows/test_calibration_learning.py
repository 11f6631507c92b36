# SPDX-License-Identifier: Apache-2.0
"""A bundle's expected Dice is corrected on its validation images, as they are and disturbed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from monai_semigan import load_bundle, read
from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.editing import edited_metadata
from monai_semigan.cli.main import cli
from monai_semigan.io.datalist import load_datalist
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.workflows.calibration_learning import (
    LearnedExpectation,
    _doubted_below,
    calibrated,
    describe_calibrations,
    expected_and_true,
    learned_expectations,
)
from monai_semigan.workflows.disturbances import AS_THEY_ARE, disturbed
from monai_semigan.workflows.limits import rounded_down
from monai_semigan.workflows.training_data import labelled_pool

CPU = torch.device("cpu")


def test_every_disturbance_changes_images_within_range_and_the_same_each_time() -> None:
    image = torch.rand(16, 1, 32, 32) * 2 - 1
    target = torch.nn.functional.one_hot((image[:, 0] > 0).long(), 2).movedim(-1, 1).float()
    state = torch.random.get_rng_state()

    first, again = (list(disturbed(image, target, seed=3)) for _ in range(2))

    assert torch.equal(torch.random.get_rng_state(), state)
    assert first[0][0] == AS_THEY_ARE and torch.equal(first[0][1], image)
    assert len({name for name, *_ in first}) == len(first) > 10
    for (name, changed, labels), (_, repeated, _) in zip(first, again, strict=True):
        assert torch.equal(changed, repeated), name
        assert changed.shape == image.shape and labels.shape == target.shape and changed.abs().max() <= 1 + 1e-5, name
        furthest = (changed - image).abs().flatten(1).amax(dim=1)
        assert name == AS_THEY_ARE or (furthest > 1e-3).all(), name  # no image stays as it is


def test_slices_of_a_patient_are_one_case(tiny_network) -> None:
    image = torch.rand(4, 1, 32, 32) * 2 - 1
    target = torch.zeros(4, 2, 32, 32)
    target[:, 1, 8:24, 8:24] = 1
    target[:, 0] = 1 - target[:, 1]
    with torch.no_grad():
        drawn = tiny_network.generator.synthesis(tiny_network.encoder(image))[1].argmax(dim=1)
    true = target.argmax(dim=1)

    pairs = expected_and_true(tiny_network, image, target, [0, 0, 1, 1])

    both = [2 * ((drawn == 1) & (true == 1))[part].sum() for part in (slice(2), slice(2, 4))]
    sizes = [(drawn == 1)[part].sum() + (true == 1)[part].sum() for part in (slice(2), slice(2, 4))]
    wanted = [float(a / b) for a, b in zip(both, sizes, strict=True)]
    assert pairs[:, 1].tolist() == pytest.approx(wanted) and len(pairs) == 2
    assert len(expected_and_true(tiny_network, image, target)) == 4


def test_the_gap_to_the_truth_gets_smaller(tiny_bundle: Path, datalist: Path) -> None:
    opened, data = open_bundle(tiny_bundle), load_datalist(datalist)
    network = load_network(opened, device=CPU)

    found = learned_expectations(opened, network, data)["image"].calibration

    pool = labelled_pool(data, data.validation, opened.preset, 2)
    expected, true = expected_and_true(network, pool.images.float(), pool.targets.float()).T
    assert abs(found(expected).mean() - true.mean()) < abs(expected.mean() - true.mean())
    assert learned_expectations(opened, network, replace(data, validation=())) == {}


def test_the_limit_moves_along_and_both_are_stored(tiny_bundle: Path, edit_bundle) -> None:
    edit_bundle(tiny_bundle, min_expected_dice=0.9)
    new = DiceCalibration(offset=-1.0, slope=1.2)

    expecting = calibrated(open_bundle(tiny_bundle), {"image": LearnedExpectation(new)})
    with edited_metadata(tiny_bundle) as metadata:
        describe_calibrations(metadata, expecting)

    chain = open_bundle(tiny_bundle).image_chain
    assert chain.calibration == new and chain.min_expected_dice == pytest.approx(float(new(0.9)), abs=1e-3)


def test_results_tell_the_corrected_number_and_none_where_nothing_was_found(
    tiny_bundle: Path, edit_bundle, make_xray
) -> None:
    image = read(make_xray(seed=0)[0])
    told = {}
    for name, numbers in (("raw", (0.0, 1.0)), ("corrected", (-1.0, 1.2))):
        edit_bundle(tiny_bundle, dice_calibration={"offset": numbers[0], "slope": numbers[1]}, max_image_error=10.0)
        told[name] = load_bundle(tiny_bundle).segmenter(steps=0).segment(image).expected_dice["lung"]
    edit_bundle(tiny_bundle, max_image_error=1e-6)
    unlike = load_bundle(tiny_bundle).segmenter(steps=0).segment(image)
    assert unlike.expected_dice["lung"] is None and "Unlike the images" in unlike.warnings[-1]
    edit_bundle(tiny_bundle, dice_calibration=None, max_image_error=10.0)

    assert told["corrected"] == pytest.approx(float(DiceCalibration(offset=-1.0, slope=1.2)(told["raw"])), abs=1e-6)
    assert load_bundle(tiny_bundle).segmenter(steps=0).segment(image).expected_dice["lung"] is None


def test_tune_stores_it_and_says_it(tiny_bundle: Path, datalist: Path, edit_bundle) -> None:
    edit_bundle(tiny_bundle, dice_calibration=None)
    arguments = ["tune", "-b", str(tiny_bundle), "--data", str(datalist), "--keep-steps", "--write"]

    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False)

    assert "expected Dice: 0.80 becomes" in shown.output
    stored = json.loads((tiny_bundle / "configs" / "metadata.json").read_text())["semigan"]["dice_calibration"]
    chain = open_bundle(tiny_bundle).image_chain
    assert chain.calibration == DiceCalibration(**stored) and np.isfinite(chain.calibration(0.9))


@pytest.mark.parametrize(
    ("limit", "stored"), [(0.717, 0.717), (0.7169999999, 0.717), (0.7169, 0.716), (0.7179, 0.717), (0.0001, 1e-6)]
)
def test_a_limit_that_is_stored_again_stays(limit: float, stored: float) -> None:
    assert rounded_down(limit) == stored


def test_a_label_is_doubted_where_most_bad_ones_are_and_few_good_ones() -> None:
    as_it_is = DiceCalibration(offset=0.0, slope=1.0)
    good, bad = np.linspace(0.85, 0.95, 101), np.linspace(0.5, 0.9, 101)
    many = [np.concatenate([good, bad]), bad], [np.full(202, 0.9), np.full(101, 0.5)]

    assert _doubted_below(as_it_is, [good, bad], [np.full(101, 0.9), np.full(101, 0.5)]) == pytest.approx(0.82)
    assert _doubted_below(as_it_is, [good, bad + 0.09], [np.full(101, 0.9), np.full(101, 0.5)]) == pytest.approx(0.86)
    assert _doubted_below(as_it_is, *many) < 0.82, "good labels of images as they are may be uncertain, too"
    assert _doubted_below(as_it_is, [good, bad[:9]], [np.full(101, 0.9), np.full(9, 0.5)]) is None


def test_limits_are_raised_to_where_labels_are_doubted(tiny_bundle: Path) -> None:
    opened = open_bundle(tiny_bundle)
    chain = replace(opened.image_chain, min_expected_dice=0.7, calibration=DiceCalibration(offset=0.0, slope=1.0))
    opened = replace(opened, chains={"image": chain})
    same = chain.calibration

    for doubted, limit in ((None, 0.7), (0.6, 0.7), (0.8, 0.8)):
        changed = calibrated(opened, {"image": LearnedExpectation(same, doubted)})
        assert changed.image_chain.min_expected_dice == pytest.approx(limit)
