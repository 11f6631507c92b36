# SPDX-License-Identifier: Apache-2.0
"""What images and volumes share of a bundle that is loaded: networks, settings, and what a record says of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from monai_semigan.domains.base import Domain
from monai_semigan.errors import ConfigError
from monai_semigan.evaluation.class_counts import class_counts
from monai_semigan.latent.inversion import Inversion
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.components import ComponentRules
from monai_semigan.segmentation.record import BundleRecord, ClassRecord, OodRecord, ReconstructionRecord
from monai_semigan.segmentation.result import Model
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.stack import SlicewiseSettings
from monai_semigan.segmentation.trust import classes_at_faces, expected_by_class, trust_warnings, unlike_reasons
from monai_semigan.versions import environment

__all__ = ["LoadedBundle", "SegmenterOptions", "ood_record"]

IMAGES_AT_ONCE = 4
"""Batch of single images: nearly as fast per image as larger ones, and one image alone is not slowed much."""


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions:
    """What a user may change of a bundle.

    Attributes:
        steps: Steps of the inversion; 0 is the encoder alone, None the bundle's number.
        compute_dtype: Of the inversion's feature maps; None for the bundle's.
        batch_size: Images or slices at once; None for 4 images, and the bundle's number of slices.
        deterministic: One image at a time on one thread: results do not depend on batch size and threads. Slower, see
            docs/benchmarks.md.
        modality: ``auto`` or one that a volume bundle accepts.
        with_probability: Also return probabilities.
        max_memory_gib: Refuse volumes whose estimated peak of memory is above; None for no limit.
    """

    steps: int | None = None
    compute_dtype: ComputeDtype | None = None
    batch_size: int | None = None
    deterministic: bool = False
    modality: str = "auto"
    with_probability: bool = False
    max_memory_gib: float | None = None

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"`batch_size` must be >= 1, got {self.batch_size}.")

    def changed(self, chain: Chain) -> Chain:
        """Return a chain with these steps and type."""
        given = {"steps": self.steps, "compute_dtype": self.compute_dtype}
        wanted = {name: value for name, value in given.items() if value is not None}
        return replace(chain, inversion=replace(chain.inversion, **wanted))  # type: ignore[arg-type]


class LoadedBundle:
    """A bundle's network on its device, with all settings as the user changed them.

    Args:
        network: Trained, on its device.
        bundle: What a result says it was made by.
        model: Names, colors and codes of the classes.
        domain: Kind of sources.
        chains: By modality, for volumes; one under `domains.base.IMAGE` for single images.
        slicewise: How a volume's slices are worked through.
        components: Which pieces of a class stay.
        options: What the user changed.

    Raises:
        CheckpointError: The network has no trained weights.
        ConfigError: The modality is none of the bundle's.
    """

    def __init__(
        self,
        network: SemiGanSegmenter,
        *,
        bundle: BundleRecord,
        model: Model,
        domain: Domain,
        chains: Mapping[str, Chain],
        slicewise: SlicewiseSettings,
        components: ComponentRules,
        options: SegmenterOptions | None = None,
    ) -> None:
        network.require_trained()
        self.options = options = options or SegmenterOptions()
        if options.modality not in ("auto", *chains):
            raise ConfigError(f"`modality` must be auto or one of {', '.join(chains)}, got {options.modality!r}.")
        self.network, self.bundle, self.model, self.components = network, bundle, model, components
        self.domain, self.takes_volumes = domain, domain.takes_volumes
        self.chains = {name: options.changed(chain) for name, chain in chains.items()}
        usual = slicewise.batch_size if self.takes_volumes else IMAGES_AT_ONCE
        self.slicewise = replace(slicewise, batch_size=1 if options.deterministic else options.batch_size or usual)
        distance = FeatureDistance(network.d_image.features)
        self.inversions = {
            name: Inversion(network.generator, network.encoder, distance, chain.inversion)
            for name, chain in self.chains.items()
        }

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    @property
    def request(self) -> dict[str, Any]:
        """What the labels depend on beside bundle and source, as JSON."""
        return {
            "inversion": {name: asdict(chain.inversion) for name, chain in self.chains.items()},
            "batch_size": self.slicewise.batch_size,
            "deterministic": self.options.deterministic,
            "modality": self.options.modality,
            "probability": self.options.with_probability,
        }

    def class_records(
        self,
        label: np.ndarray,
        drawn: np.ndarray,
        overlap: torch.Tensor,
        chain: Chain,
        *,
        area_mm2: float | None = None,
        volume_ml: float | None = None,
    ) -> tuple[ClassRecord, ...]:
        """Count the classes of a label; ``drawn`` is what it was before pieces were dropped and holes filled."""
        names = self.model.class_names
        counts = class_counts(label, len(names))
        expected = expected_by_class(overlap, [count > 0 for count in counts[1:]], chain.calibration)
        changed = label != drawn
        removed, filled = (np.bincount(part[changed], minlength=len(names)) for part in (drawn, label))
        cut = set() if volume_ml is None else classes_at_faces(label)
        return tuple(
            ClassRecord(
                name=name,
                share=counts[index] / label.size,
                area_mm2=None if area_mm2 is None else counts[index] * area_mm2,
                volume_ml=None if volume_ml is None else counts[index] * volume_ml,
                expected_dice=expected[index - 1],
                removed=int(removed[index]),
                filled=int(filled[index]),
                color=self.model.colors[index],
                is_cut=index in cut,
            )
            for index, name in enumerate(names)
            if index
        )

    def record_fields(
        self,
        source: Source,
        chain: Chain,
        classes: tuple[ClassRecord, ...],
        errors: tuple[np.ndarray, np.ndarray],
        ood: OodRecord | None,
    ) -> dict[str, Any]:
        """Return what images and volumes say alike; ``errors`` are those of the encoder and the refined ones.

        What Dice to expect was learned from images like the bundle's: of others none is told.
        """
        encoder, refined = (float(np.mean(part)) if part.size else None for part in errors)
        unlike = unlike_reasons(chain, encoder, ood)
        if unlike:
            classes = tuple(replace(part, expected_dice=None) for part in classes)
        return {
            "case": source.case,
            "source": source.record,
            "bundle": self.bundle,
            "versions": environment(),
            "request": self.request,
            "classes": classes,
            "reconstruction": ReconstructionRecord(
                measure="local_correlation" if chain.inversion.is_blind_to_contrast else "mean_squared",
                encoder=encoder,
                refined=refined,
                limit=chain.max_image_error,
            ),
            "ood": ood,
            "warnings": (*source.data.warnings, *trust_warnings(chain, classes, unlike, self.model.plausible_ml)),
            "identity": source.identity,
        }


def ood_record(chain: Chain, parts: np.ndarray, counted: np.ndarray | None = None) -> OodRecord | None:
    """Say how unlike the chain's images a case is; None where the bundle or the case gives no number.

    Args:
        chain: With the reference.
        parts: Steps of an image, ``(P,)``, or of the slices of a volume, ``(S, P)``; NaN for an empty slice.
        counted: Slices that speak for the volume, ``(S,)`` bool; None for an image.
    """
    if chain.ood is None:
        return None
    steps = torch.from_numpy(np.atleast_2d(parts))
    rows = steps if counted is None else steps[torch.from_numpy(counted)]
    if not len(rows) or bool(rows.isnan().any()):
        return None
    scores = [None if math.isnan(value) else value for value in chain.ood.score(steps).tolist()]
    by_part = chain.ood.part_scores(rows.quantile(0.5, dim=0)).tolist()
    return OodRecord(
        score=float(chain.ood.score(rows).quantile(0.5)),
        limit=chain.max_ood,
        parts=dict(zip(chain.ood.names, by_part, strict=True)),
        slices=() if counted is None else tuple(scores),
    )
