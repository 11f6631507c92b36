# SPDX-License-Identifier: Apache-2.0
"""Organs end where their tissue ends, in any contrast, also where the label goes on."""

from __future__ import annotations

import numpy as np
import pytest

from monai_semigan.segmentation.extent import limit_extent

SIZE = 40
ORGAN, OTHER, AIR = 100.0, 170.0, 2.0
WINDOW = (0.0, 255.0)


def stack(levels: list[float | None], *, noise: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw slices with a disk of each level; None is a slice without a label. Returns label and slices."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    disk = rows**2 + columns**2 <= 12**2
    slices = np.full((len(levels), SIZE, SIZE), 40.0)
    label = np.zeros((len(levels), SIZE, SIZE), dtype=np.uint8)
    for index, level in enumerate(levels):
        if level is not None:
            slices[index][disk], label[index][disk] = level, 1
    return label, slices + np.random.default_rng(0).normal(0, noise, slices.shape)


def limited(label: np.ndarray, slices: np.ndarray, *, between_mm: float = 7.5, **changes: float) -> list[bool]:
    settings = {"max_shift": 2.0, "max_spread": 2.0} | changes
    before = label.any(axis=(1, 2))
    changed = limit_extent(label, slices, spacing_mm=(between_mm, 1.25, 1.25), window=WINDOW, **settings)
    stays = label.any(axis=(1, 2))
    assert changed == {index: [1] for index in np.flatnonzero(before & ~stays).tolist()}
    return stays.tolist()


@pytest.mark.parametrize("invert", [False, True])
def test_what_lies_on_other_tissue_goes_in_either_contrast(invert) -> None:
    label, slices = stack([OTHER, OTHER, *[ORGAN] * 6, OTHER, AIR])

    stays = limited(label, 255 - slices if invert else slices)

    assert stays == [False, False, *[True] * 6, False, False]


def test_beyond_the_first_other_slice_nothing_stays() -> None:
    label, slices = stack([ORGAN, OTHER, *[ORGAN] * 6, None, ORGAN])

    assert limited(label, slices) == [False, False, *[True] * 6, False, False]


def test_tissue_may_be_mixed_only_up_to_the_limit() -> None:
    label, slices = stack([ORGAN] * 8)
    slices[0] += np.where(np.arange(SIZE) % 16 < 8, 30, -30)

    assert limited(label.copy(), slices, max_shift=100.0) == [False, *[True] * 7]
    assert all(limited(label, slices, max_shift=100.0, max_spread=100.0))


def test_a_coils_drift_along_the_body_is_no_end() -> None:
    label, slices = stack([ORGAN * 0.97**index for index in range(20)])

    assert all(limited(label, slices))


def test_thin_slices_are_compared_over_the_same_distance() -> None:
    ramp = [ORGAN] * 20 + [ORGAN + 2.5 * step for step in range(1, 29)] + [OTHER] * 20
    label, slices = stack(ramp)

    stays = limited(label.copy(), slices, between_mm=1.0)

    assert all(stays[:20]) and not any(stays[30:])


def test_the_middle_is_not_where_a_long_lung_ends_the_stack() -> None:
    label, slices = stack([*[ORGAN] * 5, *[AIR] * 6], noise=1.0)

    assert limited(label, slices) == [*[True] * 5, *[False] * 6]


def test_the_middle_is_not_one_large_section_at_the_end() -> None:
    label, slices = stack([*[ORGAN] * 5, OTHER])
    label[-1] = 1

    assert limited(label, slices) == [*[True] * 5, False]


def test_classes_end_on_their_own() -> None:
    label, slices = stack([ORGAN] * 6)
    label[:, 2:6, 2:30] = 2
    slices[:, 2:6, 2:30] = 60
    slices[:2, 2:6, 2:30] = 220

    changed = limit_extent(label, slices, spacing_mm=(7.5, 1, 1), window=WINDOW, max_shift=2, max_spread=2)

    assert changed == {0: [2], 1: [2]}
    assert (label == 1).any(axis=(1, 2)).all()
    assert (label == 2).any(axis=(1, 2)).tolist() == [False, False, True, True, True, True]


def test_views_are_changed_in_place_and_tiny_sections_are_possible() -> None:
    label, slices = stack([ORGAN] * 4 + [OTHER])
    label[0] = 0
    label[0, 20, 20:22] = 1
    stored = np.ascontiguousarray(label[::-1].transpose(2, 1, 0))

    limit_extent(
        stored.transpose(2, 1, 0)[::-1], slices, spacing_mm=(7.5, 1, 1), window=WINDOW, max_shift=90, max_spread=90
    )
    assert stored.any(axis=(0, 1)).all()
    limit_extent(
        stored.transpose(2, 1, 0)[::-1], slices, spacing_mm=(7.5, 1, 1), window=WINDOW, max_shift=2, max_spread=2
    )
    assert stored.any(axis=(0, 1)).tolist()[0] is False


def test_nothing_found_stays_nothing() -> None:
    label, slices = stack([None] * 3)

    assert limited(label, slices) == [False] * 3
