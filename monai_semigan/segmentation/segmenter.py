# SPDX-License-Identifier: Apache-2.0
"""A warm model: images and volumes in memory to labels on their own grids.

An image is a stack of one slice; several images together are a stack whose slices have nothing to do with each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from monai_semigan.domains.base import IMAGE, Domain
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.class_counts import class_counts
from monai_semigan.geometry.orientation import axcodes
from monai_semigan.io.image_file import SourceImage, require_color, require_grey
from monai_semigan.io.volume import SourceVolume
from monai_semigan.latent.inversion import Inversion
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.precision import ComputeDtype
from monai_semigan.segmentation.chain import Chain
from monai_semigan.segmentation.components import ComponentRules
from monai_semigan.segmentation.record import (
    BundleRecord,
    CaseRecord,
    ClassRecord,
    ReconstructionRecord,
    SlicesRecord,
)
from monai_semigan.segmentation.result import Model, NetworkView, Segmentation
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.stack import SliceNumbers, SliceOutput, SlicewiseSettings, segment_stack
from monai_semigan.segmentation.trust import expected_by_class, trust_warnings
from monai_semigan.segmentation.whole_volume import PROBABILITY_LEVELS, peak_memory_gib, segment_volume
from monai_semigan.transforms.square import SquareGeometry
from monai_semigan.types import Progress
from monai_semigan.versions import environment

__all__ = ["Segmenter", "SegmenterOptions"]

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


class Segmenter:
    """Segment sources with a network that stays loaded; one instance serves any number of calls, one at a time.

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
        self._inversions = {
            name: Inversion(network.generator, network.encoder, distance, chain.inversion)
            for name, chain in self.chains.items()
        }

    def __repr__(self) -> str:
        return f"Segmenter({self.bundle.name!r}, {'volumes' if self.takes_volumes else 'images'}, {self.device})"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    @property
    def sources_at_once(self) -> int:
        """How many sources `segment_all` works through best: a batch of images, or one volume."""
        return 1 if self.takes_volumes else self.slicewise.batch_size

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

    def segment(self, source: Source, *, progress: Progress | None = None) -> Segmentation:
        """Segment one source.

        Args:
            source: As `semigan.read` returns it.
            progress: Called with slices done and in all.

        Raises:
            InputError: The bundle is not for such sources, or this one cannot be prepared.
        """
        return self.segment_all([source], progress=progress)[0]

    def segment_all(
        self, sources: Sequence[Source], *, batch_size: int | None = None, progress: Progress | None = None
    ) -> list[Segmentation]:
        """Segment several; images together. One label does not depend on the others.

        Args:
            sources: As `semigan.read` returns them.
            batch_size: Images at once, where memory is short; None for that of the options.
            progress: As of `segment`.

        Raises:
            InputError: As `segment` does; nothing is returned then, of no source.
        """
        wanted, name = (SourceVolume, "volumes") if self.takes_volumes else (SourceImage, "images")
        for source in sources:
            if not isinstance(source, Source):
                raise ConfigError(f"`source` must be what `monai_semigan.read` returns, got {type(source).__name__}.")
            if not isinstance(source.data, wanted):
                raise InputError(f"`{source.record.name}` must fit the bundle {self.bundle.name}, which is for {name}.")
        with _one_thread() if self.options.deterministic else _as_it_is():
            if self.takes_volumes:
                return [self._segment_volume(source, progress) for source in sources]
            return self._segment_images(sources, batch_size, progress)

    # Images

    def prepare_image(self, source: Source) -> tuple[np.ndarray, SquareGeometry]:
        """Return the network's input ``(C, S, S)`` of an image, and the way back.

        Raises:
            InputError: The image is grey where color is needed or the reverse, constant, or holds NaN.
        """
        assert isinstance(source.data, SourceImage)
        is_grey = self.network.encoder.image_channels == 1
        data = (require_grey if is_grey else require_color)(source.data)
        try:
            image, geometry = self.chains[IMAGE].preset.prepare(
                data.pixels, photometric=data.photometric, voi_window=data.voi_window
            )
        except InputError as error:
            raise InputError(f"`{source.record.name}`: {error}") from error
        return image, geometry

    def _segment_images(
        self, sources: Sequence[Source], batch_size: int | None, progress: Progress | None
    ) -> list[Segmentation]:
        started = time.perf_counter()
        prepared = [self.prepare_image(source) for source in sources]
        was_prepared = time.perf_counter()
        outputs: dict[int, SliceOutput] = {}
        numbers = segment_stack(
            self._inversions[IMAGE],
            _Images([image for image, _ in prepared]),
            replace(self.slicewise, batch_size=batch_size or self.slicewise.batch_size),
            receive=outputs.__setitem__,
            are_neighbors=False,
            progress=progress,
        )
        seconds = {
            "prepare": (was_prepared - started) / len(sources),
            "network": (time.perf_counter() - was_prepared) / len(sources),
        }
        return [
            self._image_result(source, *prepared[at], outputs[at], numbers, at, seconds)
            for at, source in enumerate(sources)
        ]

    def _image_result(
        self,
        source: Source,
        image: np.ndarray,
        geometry: SquareGeometry,
        output: SliceOutput,
        numbers: SliceNumbers,
        at: int,
        seconds: Mapping[str, float],
    ) -> Segmentation:
        started = time.perf_counter()
        drawn = geometry.scores_to_label(output.label_logits)
        label = self.components.apply(drawn)
        data, probability = source.data, None
        assert isinstance(data, SourceImage)
        if self.options.with_probability:
            foreground = 1 - torch.from_numpy(output.label_logits).softmax(dim=0)[:1].numpy()
            probability = data.as_stored(geometry.scores_to_source(foreground)[0].astype(np.float32).clip(0, 1))
        area = data.spacing_mm[0] * data.spacing_mm[1] if data.spacing_mm else None
        classes = self._classes(label, drawn, torch.from_numpy(numbers.overlap[at]), area_mm2=area)
        chain, label = self.chains[IMAGE], data.as_stored(label)
        record = CaseRecord(
            kind="image",
            **self._common(source, chain, classes, numbers.encoder_image_error[[at]], numbers.image_error[[at]]),
            size=label.shape,
            spacing_mm=data.spacing_mm,
            steps_taken=int(numbers.steps_taken[at]),
            trace=tuple(round(loss, 6) for loss in numbers.traces[at]),
            seconds={**source.seconds, **seconds, "label": time.perf_counter() - started},
        )
        view = NetworkView(image, output.reconstruction, output.label_logits.argmax(axis=0))
        return Segmentation(
            source=source, label=label, record=record, model=self.model, probability=probability, view=view
        )

    # Volumes

    def expected_peak_gib(self, shape: tuple[int, int, int], itemsize: int, modality: str | None = None) -> float:
        """Estimate roughly the peak of the process's memory for a volume, GiB.

        Args:
            shape: Of the volume.
            itemsize: Bytes of a voxel as it is held.
            modality: None where it is not known yet: the least of all.
        """
        chains = [self.chains[modality]] if modality in self.chains else list(self.chains.values())
        return min(
            peak_memory_gib(
                shape,
                itemsize,
                self.network,
                self.slicewise,
                with_probability=self.options.with_probability,
                corrects_bias=chain.stack_preset.corrects_bias,
                has_rules=bool(self.components.by_class),
            )
            for chain in chains
        )

    def require_memory(self, peak_gib: float) -> None:
        """Refuse a volume whose estimated peak is above the limit.

        Raises:
            InputError: It is.
        """
        limit = self.options.max_memory_gib
        if limit is not None and peak_gib > limit:
            raise InputError(
                f"The volume must fit into {limit:g} GiB, but needs about {peak_gib:.1f} GiB. "
                "Raise --max-memory, lower --batch-size, or crop the volume."
            )

    def choose_modality(self, volume: SourceVolume) -> tuple[str, str]:
        """Return the chain for a volume and the reason: what was asked for, the DICOM tag, or the intensities.

        Raises:
            InputError: It is none of the bundle's.
        """
        wanted = self.options.modality
        if wanted != "auto":
            return wanted, "as asked for"
        if volume.modality is not None:
            modality, reason = volume.modality, "DICOM tag (0008,0060)"
        else:
            guess = self.domain.modality_of(volume.voxels)
            modality, reason = guess.modality, guess.reason
        if modality not in self.chains:
            raise InputError(
                f"The volume must be {' or '.join(self.chains)} for this bundle, got {modality} ({reason}). "
                "If that is wrong, pass --modality."
            )
        return modality, reason

    def _segment_volume(self, source: Source, progress: Progress | None) -> Segmentation:
        started, volume = time.perf_counter(), source.data
        assert isinstance(volume, SourceVolume)
        modality, reason = self.choose_modality(volume)
        chain = self.chains[modality]
        remarks = chain.stack_preset.check_values(volume.voxels)
        source = replace(source, data=replace(volume, warnings=(*volume.warnings, *remarks)))
        self.require_memory(self.expected_peak_gib(volume.grid.shape, volume.voxels.itemsize, modality))
        result = segment_volume(
            volume.voxels,
            volume.grid,
            self._inversions[modality],
            chain.stack_preset,
            self.slicewise,
            with_probability=self.options.with_probability,
            progress=progress,
        )
        was_segmented = time.perf_counter()
        label, slices = self.components.apply(result.label), result.slices
        overlap = torch.from_numpy(slices.overlap.sum(axis=0))
        classes = self._classes(label, result.label, overlap, volume_ml=volume.grid.voxel_volume_ml)
        # Without any organ, all slices say whether the volume is one that the bundle was made for.
        counted = slices.has_label if slices.has_label.any() else ~slices.is_empty
        errors = (slices.encoder_image_error[counted], slices.image_error[counted])
        record = CaseRecord(
            kind="volume",
            **self._common(source, chain, classes, *errors),
            size=volume.grid.shape,
            spacing_mm=tuple(round(float(spacing), 6) for spacing in volume.grid.spacing_mm),
            axcodes=axcodes(volume.grid.affine),  # type: ignore[arg-type]  # letters of these six
            modality=modality,
            modality_reason=reason,
            window=(float(result.window[0]), float(result.window[1])),
            slices=SlicesRecord(
                total=len(slices.is_empty),
                empty=int(slices.is_empty.sum()),
                refined=int(slices.is_refined.sum()),
                with_label=int(slices.has_label.sum()),
            ),
            seconds={
                **source.seconds,
                "network": was_segmented - started,
                "label": time.perf_counter() - was_segmented,
            },
        )
        probability = result.probability
        return Segmentation(
            source=source,
            label=label,
            record=record,
            model=self.model,
            probability=None if probability is None else probability.astype(np.float32) / PROBABILITY_LEVELS,
            window=result.window,
        )

    # Both

    def _classes(
        self,
        label: np.ndarray,
        drawn: np.ndarray,
        overlap: torch.Tensor,
        *,
        area_mm2: float | None = None,
        volume_ml: float | None = None,
    ) -> tuple[ClassRecord, ...]:
        """Count the classes of a label; ``drawn`` is what it was before pieces were dropped and holes filled."""
        names = self.model.class_names
        counts = class_counts(label, len(names))
        expected = expected_by_class(overlap, [count > 0 for count in counts[1:]])
        changed = label != drawn
        removed, filled = (np.bincount(part[changed], minlength=len(names)) for part in (drawn, label))
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
            )
            for index, name in enumerate(names)
            if index
        )

    def _common(
        self,
        source: Source,
        chain: Chain,
        classes: tuple[ClassRecord, ...],
        encoder_errors: np.ndarray,
        refined_errors: np.ndarray,
    ) -> dict[str, Any]:
        encoder, refined = (float(np.mean(part)) if part.size else None for part in (encoder_errors, refined_errors))
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
            "warnings": (*source.data.warnings, *trust_warnings(chain, classes, encoder)),
            "identity": source.identity,
        }


class _Images:
    """Prepared images as a source of slices."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self.images[index] for index in indices])


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
