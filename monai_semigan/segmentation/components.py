# SPDX-License-Identifier: Apache-2.0
"""Which pieces of a class stay in a label map, and which holes are filled.

Pieces of a class touch by faces, edges or corners (8 neighbours in an image, 26 in a volume); background inside a class
is a hole where it reaches the outside of the class by no path of faces. This pair of neighbourhoods never lets a piece
and a hole pass through each other (Rosenfeld 1970). Neighbourhoods count voxels, not millimetres, and so do shares:
voxels are all of one size, so the largest piece is the largest in either unit, whatever the spacing.

In a volume, holes are searched in 3-D: only what is enclosed on all sides is surely an error. A section through the
liver may enclose the vena cava or a fissure, which are open along the body; filled slice by slice they would be lost,
and other slices of the same volume would say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from scipy import ndimage

from monai_semigan.errors import ConfigError
from monai_semigan.settings import Range, check_settings, to_json

__all__ = ["ComponentRule", "ComponentRules"]


@dataclass(frozen=True, kw_only=True)
class ComponentRule:
    """What stays of one class.

    Attributes:
        keep: Number of pieces that stay, the largest ones; 0 for any number. Of equal ones the first in array order.
        min_share: Pieces smaller than this share of the largest go, in [0, 1].
        fill_holes: Whether background that the remaining pieces enclose joins them.

    Raises:
        ConfigError: A setting is of the wrong type or out of range.
    """

    keep: Annotated[int, Range(0)] = 0
    min_share: Annotated[float, Range(0, 1)] = 0.0
    fill_holes: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class ComponentRules:
    """The rules of a bundle: one for each class that has any.

    Attributes:
        by_class: Rule per class id, 1 to 255; classes without one stay as they are.
    """

    by_class: Mapping[int, ComponentRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in self.by_class:
            if type(index) is not int or not 1 <= index <= 255:
                raise ConfigError(f"`by_class` must have class ids 1 to 255 as keys, got {index!r:.40}.")

    @classmethod
    def by_name(cls, rules: Mapping[str, ComponentRule], class_names: Sequence[str]) -> ComponentRules:
        """Take rules by class name, background first in ``class_names``.

        Raises:
            ConfigError: A name is no class, or the background's.
        """
        ids = {name: index for index, name in enumerate(class_names) if index}
        unknown = sorted(rules.keys() - ids.keys())
        if unknown:
            raise ConfigError(f"`components` must have rules for {', '.join(ids)} alone, got {unknown[0]!r:.40}.")
        return cls({ids[name]: rule for name, rule in rules.items()})

    def to_json(self, class_names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the rules by class name, every setting spelled out."""
        return {class_names[index]: to_json(rule) for index, rule in self.by_class.items()}

    def apply(self, label: np.ndarray) -> np.ndarray:
        """Drop pieces, then fill holes; works on the box around each class, one class after the other.

        Dropped pieces become background. Filling changes background alone, never another class, and a hole that several
        classes enclose goes to the one whose filled region is smallest: the innermost.

        Args:
            label: Class ids, uint8, ``(H, W)`` or ``(I, J, K)``.

        Returns:
            A new label map; the same one if there are no rules.
        """
        if not self.by_class:
            return label
        cleaned = label.copy()
        boxes = ndimage.find_objects(label)
        for index, rule in self.by_class.items():
            box = boxes[index - 1] if index <= len(boxes) else None
            if box is not None:
                part = cleaned[box]
                part[(part == index) & ~_kept(part == index, rule)] = 0
        self._fill(cleaned)
        return cleaned

    def _fill(self, cleaned: np.ndarray) -> None:
        """Fill all holes in place."""
        found = []
        boxes = ndimage.find_objects(cleaned)
        for index, rule in self.by_class.items():
            box = boxes[index - 1] if index <= len(boxes) else None
            if rule.fill_holes and box is not None:
                mask = cleaned[box] == index
                holes = _holes(mask)
                if holes.any():
                    found.append((np.count_nonzero(mask) + np.count_nonzero(holes), index, box, holes))
        for _, index, box, holes in sorted(found, key=lambda item: item[:2]):
            part = cleaned[box]
            part[holes & (part == 0)] = index


def _kept(mask: np.ndarray, rule: ComponentRule) -> np.ndarray:
    """Return the pixels of the pieces that stay."""
    if not rule.keep and not rule.min_share:
        return mask
    pieces, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    if count == 1:
        return mask
    sizes = np.bincount(pieces[mask], minlength=count + 1)  # piece 0 is the rest of the box
    stays = sizes >= rule.min_share * sizes.max()
    if rule.keep:
        stays[np.argsort(-sizes, kind="stable")[rule.keep :]] = False
    stays[0] = False
    kept: np.ndarray = stays[pieces]
    return kept


def _holes(mask: np.ndarray) -> np.ndarray:
    """Return what the mask encloses; the mask touches every side of its array, as in its bounding box."""
    regions, count = ndimage.label(~mask)
    is_hole = np.ones(count + 1, dtype=bool)
    is_hole[0] = False
    for axis in range(mask.ndim):
        for side in (0, -1):
            is_hole[np.unique(regions.take(side, axis=axis))] = False
    holes: np.ndarray = is_hole[regions]
    return holes
