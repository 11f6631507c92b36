"""Surface distances against numbers by hand, brute force, scipy's distance transform and MONAI."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from monai_semigan.errors import ConfigError
from monai_semigan.evaluation.surface import surface_distances


def blobs(shape: tuple[int, ...], *, seed: int) -> np.ndarray:
    """Random smooth blobs, cut by the image's edge here and there."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return noise > np.quantile(noise, 0.7)


def by_distance_transform(a: np.ndarray, b: np.ndarray, spacing=None) -> tuple[float, float]:
    """The definition in other means: a distance transform over the whole, padded image."""
    a, b = np.pad(a, 1), np.pad(b, 1)
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    maps = [ndimage.distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    there, back = maps[1][edges[0]], maps[0][edges[1]]
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()


def test_two_points_are_as_far_apart_as_pythagoras_says() -> None:
    a, b = np.zeros((2, 9, 11), dtype=bool)
    a[2, 3] = b[5, 7] = True

    in_px, in_mm = surface_distances(a, b), surface_distances(a, b, spacing=(2.0, 0.25))

    assert in_px is not None and in_px.hd95 == in_px.assd == 5.0
    assert in_mm is not None and in_mm.assd == pytest.approx(np.hypot(6.0, 1.0))  # rows first


def test_a_line_and_a_longer_line_by_hand() -> None:
    """Points of the short line are at 0; of the long one ten are at 0, the others at 1 to 10."""
    short, long = np.zeros((2, 3, 30), dtype=bool)
    short[1, :10] = True
    long[1, :20] = True

    result = surface_distances(short, long)

    assert result is not None
    assert result.assd == pytest.approx(55 / 30)
    assert result.hd95 == pytest.approx(np.percentile([0] * 10 + list(range(1, 11)), 95)) == pytest.approx(9.05)
    assert surface_distances(long, short) == result


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((40, 57), None), ((40, 57), (0.7, 1.9)), ((11, 23, 17), None), ((11, 23, 17), (3.0, 0.5, 1.2))],
)
def test_distances_equal_the_distance_transform(shape, spacing) -> None:
    a, b = blobs(shape, seed=1), blobs(shape, seed=2)

    result = surface_distances(a, b, spacing=spacing)

    assert result is not None
    precision = 1e-9 if len(shape) == 2 else 1e-5  # float32 in volumes
    assert (result.hd95, result.assd) == pytest.approx(by_distance_transform(a, b, spacing), rel=precision)


@pytest.mark.parametrize("density", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("shape", [(9, 13), (5, 8, 11), (1, 8, 11)])
def test_distances_equal_brute_force_for_speckles_and_thick_surfaces(shape: tuple[int, ...], density: float) -> None:
    """Every pixel is asked for a neighbour outside, every pair of surface points for its distance."""
    rng, spacing = np.random.default_rng(0), (3.0, 0.5, 1.2)[: len(shape)]
    masks = [rng.random(shape) < density for _ in range(2)]
    points = []
    for mask in masks:
        padded = np.pad(mask, 1)
        found = [
            np.array(at) - 1
            for at in np.argwhere(padded)
            if not all(padded[tuple(at + side * unit)] for unit in np.eye(len(shape), dtype=int) for side in (-1, 1))
        ]
        points.append(np.array(found) * spacing)
    pairs = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    there, back = pairs.min(axis=1), pairs.min(axis=0)

    result = surface_distances(*masks, spacing=spacing)

    assert result is not None
    assert result.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-6)
    assert result.assd == pytest.approx(np.concatenate([there, back]).mean(), rel=1e-6)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MONAI calls itself with an argument that it deprecates
@pytest.mark.parametrize("spacing", [None, (0.7, 1.9)])
def test_distances_equal_monai(spacing) -> None:
    monai = pytest.importorskip("monai.metrics")
    import torch

    a, b = blobs((40, 57), seed=3), blobs((40, 57), seed=4)
    one_hot = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (a, b)]

    result = surface_distances(a, b, spacing=spacing)

    assert result is not None
    hd95 = monai.compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=spacing)
    assd = monai.compute_average_surface_distance(*one_hot, include_background=True, symmetric=True, spacing=spacing)
    assert result.hd95 == pytest.approx(float(hd95), rel=1e-5)
    assert result.assd == pytest.approx(float(assd), rel=1e-5)


def test_equal_masks_are_at_zero_also_when_they_fill_the_image() -> None:
    full = np.ones((4, 6), dtype=bool)

    result = surface_distances(full, full)

    assert result is not None and result.hd95 == result.assd == 0.0


def test_an_empty_mask_has_no_distance() -> None:
    full, empty = np.ones((4, 6), dtype=bool), np.zeros((4, 6), dtype=bool)

    assert surface_distances(full, empty) is None
    assert surface_distances(empty, full) is None
    assert surface_distances(empty, empty) is None


def test_a_cut_by_the_ignored_region_is_no_surface() -> None:
    """Both maps agree left of an ignored band; at the band's rim nothing may count as an outline."""
    a, b, ignore = np.zeros((3, 12, 30), dtype=bool)
    a[3:9, 4:20] = True
    b[3:9, 6:25] = True
    ignore[:, 12:] = True

    result = surface_distances(a & ~ignore, b & ~ignore, ignore=ignore)
    naive = surface_distances(a & ~ignore, b & ~ignore)

    assert result is not None and naive is not None
    assert result.assd > naive.assd  # without the rule the rim adds zeros
    assert surface_distances(a & ignore, b & ignore, ignore=ignore) is None  # nothing known is left


def test_spacing_must_be_positive_numbers_one_per_axis() -> None:
    mask = np.ones((3, 4), dtype=bool)

    for spacing in ((1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, float("nan")), (1.0, 1.0, 1.0)):
        with pytest.raises(ConfigError, match="`spacing` must be 2 positive numbers"):
            surface_distances(mask, mask, spacing=spacing)


def test_large_outlines_are_fast() -> None:
    rows, columns = np.ogrid[0:2000, 0:2000]
    a = ((rows - 900) / 700) ** 2 + ((columns - 600) / 350) ** 2 < 1
    b = ((rows - 930) / 690) ** 2 + ((columns - 590) / 360) ** 2 < 1

    started = time.process_time()
    surface_distances(a, b)

    assert time.process_time() - started < 1.0
