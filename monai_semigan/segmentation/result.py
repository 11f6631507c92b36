# SPDX-License-Identifier: Apache-2.0
"""A segmented case in memory: label, probabilities, what the generator made of it, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from monai_semigan.errors import OutOfDistributionError
from monai_semigan.io.image_file import SourceImage
from monai_semigan.pictures.montage import slice_montage
from monai_semigan.pictures.overlay import encode_png, overlay, reconstruction_panel
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.source import Source
from monai_semigan.types import PathLike
from monai_semigan.writers.terminology import SegmentInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Model", "NetworkView", "Segmentation"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """How the classes of a bundle are called and shown.

    Attributes:
        class_names: Background first.
        colors: RGB of each class, 0 to 255.
        segments: What DICOM says of each class, background left out.
        plausible_ml: By class, between which volumes that of a whole organ lies, mL.
    """

    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    segments: tuple[SegmentInfo, ...]
    plausible_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkView:
    """An image as the network saw it, S pixels wide and high.

    Attributes:
        image: ``(C, S, S)`` float32 in [-1, 1].
        reconstruction: What the generator made of it, the same.
        label: Class ids, ``(S, S)``, as the network gave them.
    """

    image: np.ndarray
    reconstruction: np.ndarray
    label: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """A segmented case.

    Attributes:
        source: What was segmented.
        label: Class ids uint8 on the source's own grid, ``(H, W)`` or ``(I, J, K)``; of an image on the pixels as
            stored, whatever orientation its file states.
        record: All that is known of the case; the content of ``case.json``.
        model: Names, colors and codes of the classes.
        probability: Of any foreground, float32 in [0, 1] on the same grid; None if it was not asked for.
        view: What the network saw and made of an image; None for a volume.
        window: Values of a volume that the network was shown as black and white; None for an image.
    """

    source: Source
    label: np.ndarray
    record: CaseRecord
    model: Model
    probability: np.ndarray | None = None
    view: NetworkView | None = None
    window: tuple[float, float] | None = None

    def __repr__(self) -> str:
        found = ", ".join(
            f"{part.name} {part.share:.1%}"
            + (f" (expected Dice {part.expected_dice:.3f})" if part.expected_dice is not None else "")
            for part in self.record.classes
        )
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"Segmentation({self.record.case!r}, {' x '.join(map(str, self.label.shape))}: {found}{warned})"

    def _repr_png_(self) -> bytes:
        return encode_png(self.picture)

    @property
    def expected_dice(self) -> dict[str, float | None]:
        """How right the label of each class is expected to be; None for one not found, or of an unlike source."""
        return {part.name: part.expected_dice for part in self.record.classes}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons not to trust the label, and what was odd about the source."""
        return self.record.warnings

    @property
    def ood(self) -> float | None:
        """How unlike the images that the bundle knows the source is, from 0 to 1; None if the bundle does not say."""
        return None if self.record.ood is None else self.record.ood.score

    @property
    def is_unlike(self) -> bool:
        """Whether the source is out of distribution: above the bundle's limit of `ood`."""
        return self.record.ood is not None and self.record.ood.is_unlike

    def require_like(self) -> None:
        """Refuse a source that is out of distribution.

        Raises:
            OutOfDistributionError: It is.
        """
        ood = self.record.ood
        if ood is not None and ood.is_unlike:
            raise OutOfDistributionError(
                f"`{self.source.record.name}` must be like the images that {self.record.bundle.name} was made for, but "
                f"its out-of-distribution score is {ood.score:.2f}, usual up to {ood.limit:.2f}. Choose a bundle for "
                "such images, or look at the label without --refuse-ood."
            )

    @property
    def reconstruction(self) -> np.ndarray | None:
        """What the generator made of an image, ``(C, S, S)`` in [-1, 1]; None for a volume."""
        return None if self.view is None else self.view.reconstruction

    @property
    def trace(self) -> tuple[float, ...]:
        """Loss of the inversion by step, of an image."""
        return self.record.trace

    @cached_property
    def picture(self) -> Image.Image:
        """The label on the image, or a montage of the volume's slices with contours."""
        data = self.source.data
        if isinstance(data, SourceImage):
            return overlay(data.pixels, data.as_shown(self.label), self.model.colors)
        assert self.window is not None
        return slice_montage(
            data.voxels,
            self.label,
            data.grid,
            window=self.window,
            colors=self.model.colors,
            class_names=self.model.class_names,
        )

    @cached_property
    def panel(self) -> Image.Image | None:
        """What the network saw of an image, what it made of it, its label, and the difference; None for a volume."""
        if self.view is None:
            return None
        return reconstruction_panel(self.view.image, self.view.reconstruction, self.view.label, self.model.colors)

    def save(self, folder: PathLike, formats: Sequence[str] | None = None) -> CaseRecord:
        """Write the case into ``folder``, whole or not at all; an earlier result there is replaced.

        Args:
            folder: The case's folder.
            formats: Names of `segmentation.outputs`, such as ``("nifti", "dicom-seg")``; None for what is usual for
                the source. ``case.json`` is always written.

        Returns:
            The record with the digests of the files.

        Raises:
            ConfigError: A format is unknown, or cannot hold this source.
            OutputError: It cannot be written; nothing of it is left.
        """
        from monai_semigan.segmentation.outputs import write_case  # noqa: PLC0415  (it takes this class)

        return write_case(Path(folder).absolute(), self, formats)

    def show(self) -> Figure:
        """Draw the label on the source and, of an image, what the generator made of it."""
        from matplotlib.figure import Figure  # noqa: PLC0415  (0.3 s to import)

        pictures = [picture for picture in (self.picture, self.panel) if picture is not None]
        widths = [picture.width / picture.height for picture in pictures]
        figure = Figure(figsize=(4 * sum(widths), 4.4), layout="constrained")
        axes = figure.subplots(1, len(pictures), width_ratios=widths, squeeze=False)[0]
        for ax, picture in zip(axes, pictures, strict=True):
            ax.imshow(picture)
            ax.set_axis_off()
        figure.suptitle(repr(self)[len("Segmentation(") : -1], fontsize=9)
        return figure
