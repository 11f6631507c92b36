# SPDX-License-Identifier: Apache-2.0
"""What a domain is: how its sources are prepared for a network, and what is known of their values.

A domain of single images has one preset. A domain of volumes has one for each modality that it takes, named as in DICOM
(0008,0060), so a further domain or modality is a `Domain` and nothing else:

.. code-block:: python

    register_domain(Domain(name="brain", presets={"PT": PetSlicePreset}))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np

from monai_semigan.errors import ConfigError, InputError
from monai_semigan.settings import Range, read_settings
from monai_semigan.transforms.body import Box
from monai_semigan.transforms.modality import ModalityGuess
from monai_semigan.transforms.square import SquareGeometry

__all__ = ["IMAGE", "Border", "Domain", "ImageSize", "Preset", "StackPreset", "Stretch", "Window"]

IMAGE = "image"
"""In place of a modality, for single images."""

Window = tuple[float, float]
"""Values shown black and white."""

ImageSize = Annotated[int, Range(8, 1024)]
"""Side of the network's square, pixels."""

Stretch = Annotated[float, Range(1, 10)]
"""See `SquareGeometry.max_stretch`."""

Border = Annotated[float, Range(0, 0.5, exclusive="high")]
"""Share of an image."""


class Preset(Protocol):
    """From a source's pixels to the network's square, as a settings dataclass.

    Attributes:
        channels: 1 for grey, 3 for RGB.
        has_upright: Whether an image that is turned around is another: of a chest it is, of skin not.
    """

    channels: ClassVar[int]
    has_upright: ClassVar[bool]

    @property
    def image_size(self) -> int:
        """Side S of the network's square, pixels."""

    def prepare(
        self, pixels: np.ndarray, *, photometric: str = "MONOCHROME2", voi_window: Window | None = None
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one image, ``(H, W)`` or ``(H, W, 3)``: ``(C, S, S)`` float32 in [-1, 1], and the way back."""

    def prepare_label(self, label: np.ndarray, geometry: SquareGeometry, num_classes: int) -> np.ndarray:
        """Bring class ids ``(H, W)`` into the same square: soft one-hot, ``(K, S, S)`` float32 in [0, 1]."""


class StackPreset(Preset, Protocol):
    """The preset of the axial slices of a volume: what is decided once for all of them."""

    @property
    def corrects_bias(self) -> bool:
        """Whether `corrected` makes a float32 copy of the volume."""

    def check_values(self, voxels: np.ndarray) -> tuple[str, ...]:
        """Refuse values, of any shape, that cannot be of the modality; return what a reader of the result should know.

        Raises:
            InputError: They cannot.
        """

    def corrected(self, slices: np.ndarray) -> np.ndarray:
        """Correct what concerns a whole volume ``(S, H, W)``, before all else; the same shape."""

    def window_of(self, slices: np.ndarray | Sequence[np.ndarray]) -> Window:
        """Return the values of a volume ``(S, H, W)`` that are shown black and white."""

    def frames(
        self, slices: np.ndarray | Sequence[np.ndarray], *, spacing_mm: tuple[float, float] | None = None
    ) -> list[Box]:
        """Return the box of each slice of a volume ``(S, H, W)``."""

    def prepare(
        self,
        pixels: np.ndarray,
        *,
        photometric: str = "MONOCHROME2",
        voi_window: Window | None = None,
        spacing_mm: tuple[float, float] | None = None,
        box: Box | None = None,
        window: Window | None = None,
    ) -> tuple[np.ndarray, SquareGeometry]:
        """Prepare one slice in its box and with its volume's window; None decides by the slice."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of sources.

    Attributes:
        name: As in a bundle's metadata.
        presets: Preset class by modality; of single images one, under `IMAGE`.
        modalities: Of single images, as in DICOM (0008,0060); empty where they are none.
        guess_modality: Tells the modality of a volume whose file does not say it; None where there is one alone, or
            where nobody can tell.
    """

    name: str
    presets: Mapping[str, type[Preset]]
    modalities: tuple[str, ...] = ()
    guess_modality: Callable[[np.ndarray], ModalityGuess] | None = None

    def __post_init__(self) -> None:
        if not self.presets or (IMAGE in self.presets and len(self.presets) > 1):
            raise ConfigError(f"`presets` of {self.name} must be one for images, or some for volumes by modality.")

    @property
    def takes_volumes(self) -> bool:
        """Whether it is for volumes; else it is for single images."""
        return IMAGE not in self.presets

    def read_presets(self, preprocessing: Any) -> dict[str, Preset]:
        """Build presets by modality from a bundle's ``preprocessing``; of single images one, under `IMAGE`.

        Raises:
            ConfigError: A modality or a field is unknown, or a value is out of range.
        """
        if not self.takes_volumes:
            preprocessing = {IMAGE: preprocessing}
        given = {} if not isinstance(preprocessing, Mapping) else preprocessing
        given = {key: value for key, value in given.items() if not str(key).startswith("_")}
        if not given or not given.keys() <= self.presets.keys():
            raise ConfigError(
                f"`preprocessing` must have modalities of {', '.join(self.presets)}, "
                f"got {', '.join(given)[:80] or 'none'!r}."
            )
        return {key: read_settings(self.presets[key], value, "preprocessing") for key, value in given.items()}

    def modality_of(self, voxels: np.ndarray) -> ModalityGuess:
        """Tell a volume's modality by its values.

        Raises:
            InputError: The values do not tell it, or the volume shows nothing.
        """
        if self.guess_modality is not None:
            return self.guess_modality(voxels)
        if len(self.presets) == 1:
            return ModalityGuess(next(iter(self.presets)), "the only one of the bundle's domain")
        raise InputError(f"The modality must be given, one of {', '.join(self.presets)}: the file does not say it.")
