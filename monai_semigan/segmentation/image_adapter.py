# SPDX-License-Identifier: Apache-2.0
"""Images in memory to labels: several together are a stack whose slices have nothing to do with each other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from monai_semigan.domains.base import IMAGE, Preset
from monai_semigan.errors import InputError
from monai_semigan.io.image_file import SourceImage, require_color, require_grey
from monai_semigan.segmentation.loaded_bundle import LoadedBundle, ood_record
from monai_semigan.segmentation.record import CaseRecord
from monai_semigan.segmentation.result import NetworkView, Segmentation
from monai_semigan.segmentation.source import Source
from monai_semigan.segmentation.stack import SliceNumbers, SliceOutput, segment_stack
from monai_semigan.transforms.square import SquareGeometry
from monai_semigan.types import Progress

__all__ = ["prepare_image", "segment_images"]


def prepare_image(preset: Preset, source: SourceImage) -> tuple[np.ndarray, SquareGeometry]:
    """Return the network's input ``(C, S, S)`` of an image, and the way back.

    Raises:
        InputError: The image is grey where color is needed or the reverse, constant, or holds NaN.
    """
    source = (require_grey if preset.channels == 1 else require_color)(source)
    try:
        return preset.prepare(source.pixels, photometric=source.photometric, voi_window=source.voi_window)
    except InputError as error:
        raise InputError(f"`{source.path.name}`: {error}") from error


def segment_images(
    loaded: LoadedBundle, sources: Sequence[Source], batch_size: int | None, progress: Progress | None
) -> list[Segmentation]:
    """Segment images together.

    Args:
        loaded: A bundle for images.
        sources: Of images.
        batch_size: Images at once; None for that of the options.
        progress: Called with images done and in all.

    Raises:
        InputError: As `prepare_image` does; nothing is returned then, of no image.
    """
    started = time.perf_counter()
    prepared = [prepare_image(loaded.chains[IMAGE].preset, cast("SourceImage", source.data)) for source in sources]
    was_prepared = time.perf_counter()
    outputs: dict[int, SliceOutput] = {}
    numbers = segment_stack(
        loaded.inversions[IMAGE],
        _Images([image for image, _ in prepared]),
        replace(loaded.slicewise, batch_size=batch_size or loaded.slicewise.batch_size),
        receive=outputs.__setitem__,
        are_neighbors=False,
        reference=loaded.chains[IMAGE].ood,
        progress=progress,
    )
    seconds = {
        "prepare": (was_prepared - started) / len(sources),
        "network": (time.perf_counter() - was_prepared) / len(sources),
    }
    return [
        _result(loaded, source, *prepared[at], outputs[at], numbers, at, seconds) for at, source in enumerate(sources)
    ]


def _result(
    loaded: LoadedBundle,
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
    label = loaded.components.apply(drawn)
    data, probability = source.data, None
    assert isinstance(data, SourceImage)
    if loaded.options.with_probability:
        foreground = 1 - torch.from_numpy(output.label_logits).softmax(dim=0)[:1].numpy()
        probability = data.as_stored(geometry.scores_to_source(foreground)[0].astype(np.float32).clip(0, 1))
    area = data.spacing_mm[0] * data.spacing_mm[1] if data.spacing_mm else None
    chain = loaded.chains[IMAGE]
    classes = loaded.class_records(label, drawn, torch.from_numpy(numbers.overlap[at]), chain, area_mm2=area)
    label = data.as_stored(label)
    record = CaseRecord(
        kind="image",
        **loaded.record_fields(
            source,
            chain,
            classes,
            (numbers.encoder_image_error[[at]], numbers.image_error[[at]]),
            ood_record(chain, numbers.ood[at]),
        ),
        size=label.shape,
        spacing_mm=data.spacing_mm,
        steps_taken=int(numbers.steps_taken[at]),
        trace=tuple(round(loss, 6) for loss in numbers.traces[at]),
        seconds={**source.seconds, **seconds, "label": time.perf_counter() - started},
    )
    view = NetworkView(image, output.reconstruction, output.label_logits.argmax(axis=0))
    return Segmentation(
        source=source, label=label, record=record, model=loaded.model, probability=probability, view=view
    )


class _Images:
    """Prepared images as a source of slices."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def prepared(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self.images[index] for index in indices])
