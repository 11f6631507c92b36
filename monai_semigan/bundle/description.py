# SPDX-License-Identifier: Apache-2.0
"""The description in a bundle's ``configs/metadata.json``: the block ``semigan``, typed and complete.

.. code-block:: json

    {"format": "semigan-bundle-1", "domain": "chest_xray",
     "network": {"image_size": 64, "num_classes": 2}, "preprocessing": {"image_size": 64, "max_stretch": 1.5},
     "class_names": ["background", "lung"], "colors": [[0, 0, 0], [230, 97, 1]],
     "inversion": {"steps": 50}, "max_image_error": 0.2, "components": {"lung": {"keep": 2}},
     "weights": {"file": "models/model.pt", "sha256": "..."}}

A bundle for volumes has a chain for each modality that it accepts, ``"preprocessing": {"CT": {...}, "MR": {...}}``,
``"inversion"`` and, if the modalities differ, ``"max_image_error"``, ``"min_expected_dice"`` and ``"dice_calibration"``
likewise.
``"weights": null`` says that there are none yet: such a bundle is for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from monai_semigan.domains.base import Domain
from monai_semigan.domains.registry import find_domain
from monai_semigan.errors import BundleError, ConfigError
from monai_semigan.latent.inversion import InversionSettings
from monai_semigan.networks.settings import NetworkSettings
from monai_semigan.segmentation.chain import Chain, ExpectedDiceLimit, ImageErrorLimit, OodLimit
from monai_semigan.segmentation.components import ComponentRule, ComponentRules
from monai_semigan.segmentation.expected_dice import DiceCalibration
from monai_semigan.segmentation.ood import USUAL_LIMIT
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.settings import Pattern, Range, check_settings, read_settings
from monai_semigan.writers.terminology import ClassCodes, SegmentInfo, segments_of_classes

__all__ = [
    "MAX_NAME_LENGTH",
    "AdaptedFrom",
    "Color",
    "Description",
    "LongString",
    "Metadata",
    "OodSettings",
    "WeightsSettings",
    "read_metadata",
]

MAX_NAME_LENGTH = 64
"""Of name and version, which come into DICOM results as long strings (LO, PS3.5 6.2)."""

LongString = Annotated[
    str,
    Pattern(r"(?=.*[!-\[\]-~])[ -\[\]-~]{1,64}", "1 to 64 printable ASCII characters without backslash, for DICOM"),
]
Sha256 = Annotated[str, Pattern("[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits")]
Amount = Annotated[float, Range(0, 1e6)]
Level = Annotated[int, Range(0, 255)]
Color = tuple[Level, Level, Level]


@dataclass(frozen=True, kw_only=True)
class WeightsSettings:
    """Which weights belong to a bundle.

    Attributes:
        file: Inside the bundle.
        sha256: Of the file.
    """

    file: str
    sha256: Sha256

    def __post_init__(self) -> None:
        check_settings(self)
        path = PurePosixPath(self.file)
        if not self.file.isprintable() or not path.parts or path.is_absolute() or ".." in path.parts:
            raise ConfigError(f"`file` must lie inside the bundle, got {self.file!r:.80}.")


@dataclass(frozen=True, kw_only=True)
class OodSettings(WeightsSettings):
    """What says which images a bundle knows.

    Attributes:
        file: Inside the bundle.
        sha256: Of the file.
        max_ood: See `Chain`.
    """

    max_ood: OodLimit = USUAL_LIMIT


@dataclass(frozen=True, kw_only=True)
class AdaptedFrom:
    """What a bundle was before `semigan adapt` made another one of it.

    Attributes:
        name: Of the bundle before.
        version: Of it.
        digest: SHA-256 over its description and weights.
        num_labelled: Labelled images that were learned.
        steps: Steps of the adaptation.
        data_digest: SHA-256 over which file plays which role in the data list, and the files' sizes.
    """

    name: LongString
    version: LongString
    digest: Sha256
    num_labelled: Annotated[int, Range(1)]
    steps: Annotated[int, Range(1)]
    data_digest: Sha256

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Description:
    """The block ``semigan`` of the metadata.

    Attributes:
        format: Version of this description.
        domain: Kind of sources, see `domains.registry`.
        network: Arguments of `SemiGanSegmenter`.
        preprocessing: Fields of the domain's preset; of volumes by modality.
        class_names: Background first.
        colors: RGB of each class.
        inversion: Fields of `InversionSettings`; of volumes by modality.
        max_image_error: See `Chain`; of volumes perhaps by modality.
        min_expected_dice: See `Chain`; of volumes perhaps by modality.
        dice_calibration: The ``calibration`` of `Chain`, likewise; null if none was found.
        weights: The weights; null if the bundle has none yet.
        components: Which pieces of a class stay, and which holes are filled, by class name.
        codes: What DICOM calls the classes after the background, see `terminology`; null for known ones.
        slicewise: How a stack of slices is worked through.
        plausible_ml: By class name, between which volumes a whole organ lies, mL; others are warned of.
        ood: What says which images the bundle knows; null if it does not say.
        num_labels: Labelled images, or slices, that its weights learned from; null if that is not known.
        adapted_from: What it was before it was adapted to other data; null if it was trained as it is.
    """

    format: Literal["semigan-bundle-1"]
    domain: str
    network: NetworkSettings
    preprocessing: Mapping[str, Any]
    class_names: tuple[str, ...]
    colors: tuple[Color, ...]
    inversion: Mapping[str, Any]
    max_image_error: ImageErrorLimit | Mapping[str, ImageErrorLimit]
    weights: WeightsSettings | None
    min_expected_dice: ExpectedDiceLimit | Mapping[str, ExpectedDiceLimit] | None = None
    dice_calibration: DiceCalibration | Mapping[str, DiceCalibration] | None = None
    components: Mapping[str, ComponentRule] = field(default_factory=dict)
    codes: tuple[ClassCodes | None, ...] | None = None
    slicewise: SlicewiseSettings = field(default_factory=SlicewiseSettings)
    plausible_ml: Mapping[str, tuple[Amount, Amount]] = field(default_factory=dict)
    ood: OodSettings | None = None
    num_labels: Annotated[int, Range(1)] | None = None
    adapted_from: AdaptedFrom | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        count = self.network.num_classes
        if len(self.class_names) != count or len(set(self.class_names)) != count:
            raise ConfigError(
                f"`class_names` must name the network's {count} classes, each differently, got {len(self.class_names)}."
            )
        if not all(name.strip() and name.isprintable() for name in self.class_names):
            raise ConfigError("`class_names` must be printable names, background first.")
        if len(self.colors) != count:
            raise ConfigError(f"`colors` must hold one color for each of the {count} classes, got {len(self.colors)}.")
        self.chains()
        self.rules()
        for name, (least, most) in self.plausible_ml.items():
            if name not in self.class_names[1:] or least >= most:
                raise ConfigError(f"`plausible_ml` must hold rising pairs by class name, got {name!r:.40}.")
        self.segments()

    @property
    def kind(self) -> Domain:
        """The domain itself."""
        return find_domain(self.domain)

    def chains(self) -> dict[str, Chain]:
        """Return the chains by modality; of single images one, under `domains.base.IMAGE`.

        Raises:
            ConfigError: A modality or setting is wrong, or a preset makes other images than the network takes.
        """
        presets = self.kind.read_presets(self.preprocessing)
        inversions = self.inversion if self.kind.takes_volumes else dict.fromkeys(presets, self.inversion)
        if presets.keys() != inversions.keys():
            raise ConfigError(
                "`inversion` must have the modalities of `preprocessing`, "
                f"{', '.join(presets)}, got {', '.join(inversions)[:80]!r}."
            )
        taken = self.network.image_channels, self.network.image_size
        for preset in presets.values():
            if (preset.channels, preset.image_size) != taken:
                raise ConfigError(
                    f"`preprocessing` must make what the network takes, {taken[0]} channels of {taken[1]} px, "
                    f"got {preset.channels} of {preset.image_size} px."
                )
        found = {key: read_settings(InversionSettings, inversions[key], "inversion") for key in presets}
        for inversion in found.values():
            if inversion.optimize != "styles" and not self.network.feature_sizes:
                raise ConfigError(
                    f"`optimize` must be styles for a network without `feature_sizes`, got {inversion.optimize}."
                )
        return {
            key: Chain(
                preset=preset,
                inversion=found[key],
                max_image_error=_limit(self.max_image_error, "max_image_error", key),
                min_expected_dice=None
                if self.min_expected_dice is None
                else _limit(self.min_expected_dice, "min_expected_dice", key),
                calibration=self.dice_calibration.get(key)
                if isinstance(self.dice_calibration, Mapping)
                else self.dice_calibration,
                max_ood=USUAL_LIMIT if self.ood is None else self.ood.max_ood,
            )
            for key, preset in presets.items()
        }

    def rules(self) -> ComponentRules:
        """Return the rules for pieces and holes by class id."""
        return ComponentRules.by_name(self.components, self.class_names)

    def segments(self) -> tuple[SegmentInfo, ...]:
        """Return what DICOM says of each class, background left out."""
        return segments_of_classes(self.class_names, self.colors, self.codes)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is read of a bundle's metadata; its other entries are MONAI's.

    Attributes:
        version: Of the bundle.
        name: Of the bundle; null takes the folder's.
        task: What it segments.
        terms: Under which terms its weights may be used.
        semigan: What this package needs to know.
    """

    version: LongString
    name: LongString | None = None
    task: str = ""
    terms: str = "see LICENSE and docs/data_license.txt"
    semigan: Description

    def __post_init__(self) -> None:
        check_settings(self)


def read_metadata(content: Any, path: Path) -> Metadata:
    """Read a bundle's metadata from what JSON holds; ``path`` is where it was, for errors.

    Raises:
        BundleError: The version, the name or the block ``semigan`` is missing or wrong.
    """
    known = {field.name for field in fields(Metadata)}
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if key in known}
    return read_settings(Metadata, content, str(path), error=BundleError)


def _limit(value: float | Mapping[str, float], name: str, modality: str) -> float:
    if not isinstance(value, Mapping):
        return value
    if modality not in value:
        raise ConfigError(f"`{name}` must have a number for {modality}, got {', '.join(value)[:80]!r}.")
    return value[modality]
