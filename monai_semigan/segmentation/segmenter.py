# SPDX-License-Identifier: Apache-2.0
"""A warm model: images and volumes in memory to labels on their own grids."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from monai_semigan.devices import one_thread
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.io.image_file import SourceImage
from monai_semigan.io.volume import SourceVolume
from monai_semigan.segmentation.image_adapter import segment_images
from monai_semigan.segmentation.loaded_bundle import LoadedBundle, SegmenterOptions
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.volume_adapter import segment_volume_source
from monai_semigan.types import Progress

__all__ = ["Segmenter", "SegmenterOptions"]


class Segmenter(LoadedBundle):
    """Segment sources with a network that stays loaded; one instance serves any number of calls, one at a time.

    It is made as a `LoadedBundle` is.
    """

    def __repr__(self) -> str:
        return f"Segmenter({self.bundle.name!r}, {'volumes' if self.takes_volumes else 'images'}, {self.device})"

    @property
    def sources_at_once(self) -> int:
        """How many sources `segment_all` works through best: a batch of images, or one volume."""
        return 1 if self.takes_volumes else self.slicewise.batch_size

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
        with one_thread() if self.options.deterministic else nullcontext():
            if self.takes_volumes:
                return [segment_volume_source(self, source, progress) for source in sources]
            return segment_images(self, sources, batch_size, progress)
