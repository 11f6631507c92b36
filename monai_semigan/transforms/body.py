# SPDX-License-Identifier: Apache-2.0
"""Where the trunk is in an axial slice of CT or MR: without table, air, noise and single arms.

Both modalities are framed at the same anatomy, the wall of muscles and ribs around the organs. Pictures that show HU
from 0 upwards have no fat, so in CT the wall is all there is. MR shows the skin: its frame is drawn in by `FAT_SHARE`.

All is worked out on a small copy, with distances as shares of its longer side, so neither the size nor the spacing of
the pixels matters. The steps are ours; the threshold of MR is Otsu's with three classes (Liao et al. 2001).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from monai_semigan.errors import check_shape

__all__ = ["Box", "Modality", "body_box", "body_mask", "volume_body_boxes"]

Box = tuple[int, int, int, int]
"""``(top, bottom, left, right)``, pixels, half-open."""

Modality = Literal["CT", "MR"]
"""What the intensities mean: HU, or signal in arbitrary units."""

WORKING_SIZE = 128
"""The small copy has about this many pixels on its longer side."""

TISSUE_HU = 20.0
"""Muscle and organs lie above, fat and most noise below."""

CEILING_HU = 255.0
"""Bone, metal and tables count no more than this when pixels are averaged; 8-bit pictures end there too."""

BRIDGE_SHARE = {"CT": 0.06, "MR": 0.035}
"""Gaps up to twice this share of the longer side close: fat between muscles, lung between ribs."""

THIN_SHARE = 0.06
"""What is still thinner than twice this share is no trunk."""

ARC_THICKNESS_SHARE = 0.018
"""Half the thickness of tables and coils: two pixels of 128."""

ARC_LENGTH_SHARE = 0.25
"""Bright thin arcs of this width are no ribs."""

ARC_HU = 110.0
"""Mean of an arc that is no muscle."""

BACK_AREA_SHARE = 0.0012
"""Thick pieces of tissue of this share of the slice (20 pixels of 128 x 128) mark how far down the back reaches."""

BELOW_BACK_SHARE = 0.04
"""Spinous processes and thin muscles may reach so far below the thick pieces; the table's inside begins there."""

MIN_AREA_SHARE = 0.02
"""A smaller trunk is noise: the slice counts as empty."""

MARGIN_SHARE = 0.02
"""Room that a box leaves around the wall, as a share of its sides."""

FAT_SHARE = {"CT": 0.0, "MR": 0.04}
"""Skin and fat at each side, as a share of the trunk's sides: in MR 14 mm of 350 mm."""

SMOOTHING_SLICES = 7
"""A volume's boxes are the running median over so many slices."""


def body_mask(pixels: np.ndarray, *, modality: Modality = "CT") -> np.ndarray:
    """Find the trunk, filled.

    Args:
        pixels: ``(H, W)``, anterior at the top: HU, also clipped to 0..255, or MR signal.
        modality: What the values are.

    Returns:
        ``(H, W)`` bool, as coarse as the working copy; all False where no trunk is found.
    """
    small_mask, factor = _small_mask(pixels, modality)
    grown = small_mask.repeat(factor, axis=0).repeat(factor, axis=1)
    missing = [(0, max(0, side - have)) for side, have in zip(pixels.shape, grown.shape, strict=True)]
    mask: np.ndarray = np.pad(grown, missing, mode="edge")
    return mask


def body_box(pixels: np.ndarray, *, modality: Modality = "CT") -> Box | None:
    """Frame the trunk of one slice; None for a slice without.

    Args:
        pixels: As in `body_mask`.
        modality: What the values are.

    Returns:
        ``(top, bottom, left, right)``, half-open, inside the slice.
    """
    mask, factor = _small_mask(pixels, modality)
    if not mask.any():
        return None
    ends = []
    for axis, size in enumerate(pixels.shape):
        inside = np.flatnonzero(mask.any(axis=1 - axis))
        first, last = inside[0] * factor, (inside[-1] + 1) * factor
        inset = (FAT_SHARE[modality] - MARGIN_SHARE) * (last - first)
        cut_first, cut_last = inside[0] == 0, inside[-1] == mask.shape[axis] - 1  # no skin to be seen there
        ends.append(0 if cut_first else max(0, round(first + inset)))
        ends.append(size if cut_last else min(size, round(last - inset)))
    return ends[0], ends[1], ends[2], ends[3]


def volume_body_boxes(slices: np.ndarray | Sequence[np.ndarray], *, modality: Modality = "CT") -> list[Box]:
    """Frame the trunk in each slice of a volume, smoothly along the slices.

    Args:
        slices: ``(S, H, W)``, anterior at the top.
        modality: What the values are.

    Returns:
        One box per slice: the running median over `SMOOTHING_SLICES`. Slices without a trunk take the nearest slice's;
        a volume without any is framed whole.
    """
    found = [body_box(np.asarray(pixels), modality=modality) for pixels in slices]
    known = np.array([at for at, box in enumerate(found) if box is not None])
    if not len(known):
        height, width = np.shape(slices[0])
        return [(0, height, 0, width)] * len(found)
    nearest = known[np.abs(known[None] - np.arange(len(found))[:, None]).argmin(axis=1)]
    edges = np.array([found[at] for at in nearest])  # (S, 4)
    smooth = ndimage.median_filter(edges, size=(SMOOTHING_SLICES, 1), mode="nearest")
    return [(int(top), int(bottom), int(left), int(right)) for top, bottom, left, right in smooth]


def _small_mask(pixels: np.ndarray, modality: Modality) -> tuple[np.ndarray, int]:
    """The trunk on the working copy, and how many pixels one of its pixels stands for."""
    check_shape("pixels", pixels.shape, "H W")
    factor = max(1, round(max(pixels.shape) / WORKING_SIZE))
    small = _shrunken(
        np.nan_to_num(pixels.astype(np.float32)), factor, ceiling=CEILING_HU if modality == "CT" else None
    )
    if small.size == 0 or small.min() == small.max():
        return np.zeros(small.shape, dtype=bool), factor
    side = max(small.shape)
    tissue = _ct_tissue(small) if modality == "CT" else _mr_tissue(small)
    trunk = _main_pieces(_opened(_bridged(tissue, BRIDGE_SHARE[modality] * side), THIN_SHARE * side))
    if trunk.sum() < MIN_AREA_SHARE * trunk.size:
        trunk[:] = False
    return trunk, factor


def _shrunken(pixels: np.ndarray, factor: int, *, ceiling: float | None) -> np.ndarray:
    """Means of blocks; HU are clipped before, so that neither air nor metal outweighs tissue."""
    clipped = pixels if ceiling is None else pixels.clip(0, ceiling)
    height, width = (side // factor for side in pixels.shape)
    blocks = clipped[: height * factor, : width * factor].reshape(height, factor, width, factor)
    means: np.ndarray = blocks.mean(axis=(1, 3))
    return means


def _mr_tissue(small: np.ndarray) -> np.ndarray:
    """Signal above air: the lower of two thresholds, the upper parts dim from bright tissue."""
    root = np.sqrt(np.maximum(ndimage.gaussian_filter(small, 1), 0))
    try:
        tissue: np.ndarray = root > threshold_multiotsu(root, classes=3, nbins=64)[0]
    except ValueError:  # fewer than three grey values
        tissue = root > root.mean()
    return tissue


def _ct_tissue(small: np.ndarray) -> np.ndarray:
    """Tissue above fat, without tables, coils and blankets."""
    tissue = small > TISSUE_HU
    side = max(small.shape)
    for where, piece in _pieces(tissue):
        if _is_arc(small[where][piece], where, piece, small.shape):
            tissue[where][piece] = False
    back = 0
    for where, piece in _pieces(_opened(tissue, 0.016 * side)):
        rows, columns = piece.shape
        if piece.sum() >= BACK_AREA_SHARE * small.size and columns <= 6 * rows:
            back = max(back, where[0].stop)
    if back:
        tissue[back + round(BELOW_BACK_SHARE * side) :] = False
        for where, piece in _pieces(tissue):
            if where[0].start >= back - 1 and piece.shape[1] >= 0.08 * side:
                tissue[where][piece] = False
    return tissue


def _is_arc(values: np.ndarray, where: tuple[slice, slice], piece: np.ndarray, shape: tuple[int, ...]) -> bool:
    side, (rows, columns) = max(shape), piece.shape
    if columns < ARC_LENGTH_SHARE * side or values.mean() <= ARC_HU:
        return False
    leaves_the_slice = where[1].start == 0 or where[1].stop == shape[1]
    if not leaves_the_slice and columns <= 2 * rows:
        return False
    thickness = ndimage.distance_transform_edt(np.pad(piece, 1)).max()
    return bool(thickness <= ARC_THICKNESS_SHARE * side)


def _pieces(mask: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Bounding box and shape of each connected piece."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    for at, where in enumerate(ndimage.find_objects(labels)):
        yield where, labels[where] == at + 1


def _bridged(mask: np.ndarray, radius: float) -> np.ndarray:
    """Close gaps and fill what is enclosed; filling before shrinking keeps bridges that are only just closed."""
    margin = int(radius) + 2
    padded = np.pad(mask, margin)
    if not mask.any():
        return mask
    grown = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~padded) <= radius)
    inner: np.ndarray = ndimage.distance_transform_edt(grown)[margin:-margin, margin:-margin] > radius
    return inner


def _opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """Drop what is thinner than twice the radius; the slice's border cuts, it does not end anything."""
    margin = int(radius) + 2
    core = ndimage.distance_transform_edt(np.pad(mask, margin, mode="edge")) > radius
    if not core.any():
        return np.zeros_like(mask)
    opened: np.ndarray = ndimage.distance_transform_edt(~core)[margin:-margin, margin:-margin] <= radius
    return opened & mask


def _main_pieces(mask: np.ndarray) -> np.ndarray:
    """The largest piece, and others in front of it or behind it: a spine behind a heart, but no arms."""
    pieces = sorted(_pieces(mask), key=lambda item: -int(item[1].sum()))
    kept = np.zeros_like(mask)
    for where, piece in pieces:
        columns, main = where[1], pieces[0][0][1]
        overlap = min(columns.stop, main.stop) - max(columns.start, main.start)
        if 2 * overlap >= columns.stop - columns.start and piece.sum() >= 0.05 * pieces[0][1].sum():
            kept[where] |= piece
    return kept
