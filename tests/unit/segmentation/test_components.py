# SPDX-License-Identifier: Apache-2.0
"""Pieces and holes of label maps, against drawings whose answer is plain to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from monai_semigan.errors import ConfigError
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.settings import read_settings

NAMES = ("background", "lung", "heart")


def drawing(*rows: str) -> np.ndarray:
    """Class ids from text; a dot is background."""
    return np.array([[0 if sign == "." else int(sign) for sign in row] for row in rows], dtype=np.uint8)


def rules(**by_class: dict[str, Any]) -> ComponentRules:
    return ComponentRules.by_name({name: ComponentRule(**settings) for name, settings in by_class.items()}, NAMES)


def blobs(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return np.digitize(noise, np.quantile(noise, (0.6, 0.85))).astype(np.uint8)


def test_two_lungs_stay_two_and_the_rest_goes() -> None:
    label = drawing("11..111.", "11..111.", "........", ".1....1.")

    result = rules(lung={"keep": 2}).apply(label)

    np.testing.assert_array_equal(result, drawing("11..111.", "11..111.", "........", "........"))
    np.testing.assert_array_equal(label, drawing("11..111.", "11..111.", "........", ".1....1."))  # untouched


def test_the_order_of_pieces_does_not_matter_only_their_size() -> None:
    label = drawing("1..11..111")

    for flip in (slice(None), slice(None, None, -1)):
        result = rules(lung={"keep": 1}).apply(label[:, flip])[:, flip]

        np.testing.assert_array_equal(result, drawing(".......111"))


def test_the_share_is_of_the_largest_piece_and_counts_from_there() -> None:
    label = drawing("1111.11.1..")  # 4, 2 and 1 pixels

    assert rules(lung={"min_share": 0.5}).apply(label).sum() == 6
    assert rules(lung={"min_share": 0.51}).apply(label).sum() == 4
    assert rules(lung={"min_share": 0.25}).apply(label).sum() == 7
    assert rules(lung={"min_share": 0.5, "keep": 1}).apply(label).sum() == 4


def test_pieces_touch_by_corners_and_holes_by_faces() -> None:
    diagonal = drawing("1..", ".1.", "...", "..1")
    ring = drawing(".1.", "1.1", ".1.")  # closed by corners alone

    np.testing.assert_array_equal(rules(lung={"keep": 1}).apply(diagonal), drawing("1..", ".1.", "...", "..."))
    np.testing.assert_array_equal(rules(lung={"fill_holes": True}).apply(ring), drawing(".1.", "111", ".1."))


def test_what_opens_to_the_outside_is_no_hole() -> None:
    bay = drawing("111", "1..", "111")
    at_the_border = drawing("11", ".1", "11")

    for label in (bay, at_the_border):
        np.testing.assert_array_equal(rules(lung={"fill_holes": True}).apply(label), label)


def test_pieces_go_first_so_a_dropped_spot_in_a_lung_is_filled() -> None:
    label = drawing("11111..", "12211.2", "11111.2", "......2", "......2")

    result = rules(lung={"fill_holes": True}, heart={"keep": 1}).apply(label)

    np.testing.assert_array_equal(result, drawing("11111..", "11111.2", "11111.2", "......2", "......2"))


def test_filling_changes_background_alone() -> None:
    label = drawing("11111", "1.2.1", "11111")

    result = rules(lung={"fill_holes": True}).apply(label)

    np.testing.assert_array_equal(result, drawing("11111", "11211", "11111"))


def test_a_hole_in_both_classes_goes_to_the_inner_one_whatever_the_order_of_the_rules() -> None:
    label = drawing("1111111", "1.....1", "1.222.1", "1.2.2.1", "1.222.1", "1.....1", "1111111")
    expected = drawing("1111111", "1111111", "1122211", "1122211", "1122211", "1111111", "1111111")

    for order in (("lung", "heart"), ("heart", "lung")):
        result = rules(**{name: {"fill_holes": True} for name in order}).apply(label)

        np.testing.assert_array_equal(result, expected)


def test_classes_without_a_rule_stay_as_they_are() -> None:
    label = drawing("1.1", "2.2")

    result = rules(heart={"keep": 1}).apply(label)

    np.testing.assert_array_equal(result, drawing("1.1", "2.."))


def test_a_tunnel_through_a_volume_stays_and_a_cavity_is_filled() -> None:
    tunnel, cavity = np.zeros((2, 6, 7, 5), dtype=np.uint8)
    tunnel[1:5, 1:6, 1:4] = cavity[1:5, 1:6, 1:4] = 1
    tunnel[2:4, 3, :] = 0  # in every slice along the last axis it looks like a hole
    cavity[2:4, 3, 2] = 0
    full = cavity.copy()
    full[2:4, 3, 2] = 1

    rule = rules(lung={"fill_holes": True})

    np.testing.assert_array_equal(rule.apply(tunnel), tunnel)
    np.testing.assert_array_equal(rule.apply(cavity), full)


@pytest.mark.parametrize("shape", [(23, 31), (9, 14, 12)])
@pytest.mark.parametrize("seed", range(3))
def test_each_class_equals_the_plain_way_over_the_whole_array(shape: tuple[int, ...], seed: int) -> None:
    """The plain way: label everything, sort, keep; scipy's own filling."""
    label = blobs(shape, seed=seed)
    expected = np.zeros_like(label)
    for index, keep in ((1, 3), (2, 1)):
        pieces, _ = ndimage.label(label == index, structure=np.ones((3,) * label.ndim))
        sizes = np.bincount(pieces.ravel())[1:]
        largest = np.argsort(-sizes, kind="stable")[:keep] + 1
        expected[np.isin(pieces, largest)] = index
    enclosed = ndimage.binary_fill_holes(expected == 2) & (expected == 0)

    result = rules(lung={"keep": 3}, heart={"keep": 1, "fill_holes": True}).apply(label)

    np.testing.assert_array_equal(result, np.where(enclosed, 2, expected))
    assert result.dtype == np.uint8


def test_turning_a_volume_turns_the_result() -> None:
    label, rule = blobs((9, 14, 12), seed=4), rules(lung={"min_share": 0.2, "fill_holes": True}, heart={"keep": 2})

    turned = rule.apply(label.transpose(2, 0, 1)[:, ::-1])

    np.testing.assert_array_equal(turned[:, ::-1].transpose(1, 2, 0), rule.apply(label))


@pytest.mark.parametrize("label", [drawing("...", "..."), drawing("111", "111"), drawing("22", "22")])
def test_empty_and_full_maps_stay(label: np.ndarray) -> None:
    rule = rules(lung={"keep": 1, "min_share": 1.0, "fill_holes": True}, heart={"keep": 1})

    np.testing.assert_array_equal(rule.apply(label), label)
    assert ComponentRules().apply(label) is label


def test_rules_survive_json() -> None:
    rule = rules(lung={"keep": 2, "min_share": 0.1, "fill_holes": True})
    read = {name: read_settings(ComponentRule, item, name) for name, item in rule.to_json(NAMES).items()}

    assert rule.by_class == {1: ComponentRule(keep=2, min_share=0.1, fill_holes=True)}
    assert ComponentRules.by_name(read, NAMES) == rule


@pytest.mark.parametrize("name", ["liver", "background"])
def test_rules_are_for_classes_of_the_foreground(name: str) -> None:
    with pytest.raises(ConfigError, match=f"`components` must have rules for lung, heart alone, got '{name}'"):
        rules(**{name: {}})


@pytest.mark.parametrize(
    "settings", [{"keep": -1}, {"keep": True}, {"keep": 2.0}, {"min_share": 1.1}, {"min_share": float("nan")},
                 {"fill_holes": 1}]
)  # fmt: skip
def test_wrong_rules_are_refused(settings: Any) -> None:
    (key,) = settings
    with pytest.raises(ConfigError, match=f"`{key}` must be"):
        ComponentRule(**settings)


@pytest.mark.parametrize("index", [0, 256, 1.0])
def test_class_ids_must_be_foreground(index: Any) -> None:
    with pytest.raises(ConfigError, match="class ids 1 to 255"):
        ComponentRules({index: ComponentRule()})
