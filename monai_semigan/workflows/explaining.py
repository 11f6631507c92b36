# SPDX-License-Identifier: Apache-2.0
"""How an image's label was found: the test-time optimization step by step, as a page and an animation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError
from monai_semigan.files import replacing_results, write_bytes, write_json, write_text
from monai_semigan.io.label_file import write_label
from monai_semigan.latent.inversion import InversionResult, InversionSettings
from monai_semigan.pictures.frames import AnimationFormat, encode_animation
from monai_semigan.pictures.overlay import reconstruction_panel
from monai_semigan.report.explanation_report import ExplainedStep, ExplanationPage, render_explanation
from monai_semigan.segmentation.fusion import LabelFusion
from monai_semigan.segmentation.record import BundleRecord, SourceRecord
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.training.sample_sheet import save_image
from monai_semigan.types import PathLike
from monai_semigan.versions import environment
from monai_semigan.workflows.network_inputs import NetworkInput, invert_input, read_network_input

__all__ = ["Explanation", "ExplanationOptions", "explain"]

MARKER = "explanation.json"

SHOWN = (0, 2, 5, 10, 20)
"""Steps that are shown beside the last where none are chosen: most happens early."""

MAX_FRAMES = 60
"""Of the animation: more steps are thinned out."""


@dataclass(frozen=True, kw_only=True)
class ExplanationOptions:
    """What is shown.

    Attributes:
        steps: Of the inversion; None for the bundle's number, or for 50 where that is 0.
        at: Steps on the page; empty for some from 0 to the last.
        modality: Of a bundle for volumes: ``auto``, or one that it accepts.
        animations: Formats of the animation; empty for none.
        frame_ms: How long a step stays, milliseconds.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    steps: Annotated[int, Range(0, 10_000)] | None = None
    at: tuple[Annotated[int, Range(0, 10_000)], ...] = ()
    modality: str = "auto"
    animations: tuple[AnimationFormat, ...] = ("webp",)
    frame_ms: Annotated[int, Range(20, 10_000)] = 150
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)

    def shown_steps(self, steps: int) -> tuple[int, ...]:
        """Return the steps of the page.

        Raises:
            ConfigError: One is after the last.
        """
        if self.at and max(self.at) > steps:
            raise ConfigError(f"`at` must be steps from 0 to {steps}, got {max(self.at)}. Raise the number of steps.")
        return tuple(sorted(set(self.at or (*(step for step in SHOWN if step < steps), steps))))


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """How one label was found.

    Attributes:
        schema: Version of this description.
        bundle: What segmented.
        source: The file.
        slice: Of a volume, from 1; null for an image.
        modality: The chain that prepared it.
        inversion: Settings of the optimization.
        steps_taken: Steps before it ended by itself.
        losses: Before each step and after the last.
        shown: Per step of the page: ``step``, ``loss``, ``image_error`` (mean squared, of [-1, 1]), ``label_change``
            (share of the pixels whose class differs from step 0), ``class_shares``.
        versions: Of what computed.
    """

    schema: Literal["semigan-explanation-1"] = "semigan-explanation-1"
    bundle: BundleRecord
    source: SourceRecord
    slice: int | None
    modality: str
    inversion: Any
    steps_taken: int
    losses: tuple[float, ...]
    shown: tuple[Mapping[str, Any], ...]
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``explanation.json`` holds."""
        content: dict[str, Any] = to_json(self)
        return content


@dataclass(frozen=True)
class _Step:
    image: np.ndarray
    label: np.ndarray


def explain(
    image: str, output: PathLike, *, bundle: PathLike, options: ExplanationOptions | None = None
) -> Explanation:
    """Show how the label of one image is found.

    Writes ``explanation.html``, the animations, ``steps/`` with a picture and a label per step of the page, and
    ``explanation.json``.

    Args:
        image: An image file, or ``FILE:SLICE`` of a volume.
        output: Folder: new, empty, or of an earlier explanation, which is replaced.
        bundle: A shipped bundle's name, or a bundle folder.
        options: What is shown.

    Raises:
        ConfigError: An option is out of range.
        BundleError: The bundle cannot be used.
        InputError: The file cannot be read, or does not fit the bundle.
        GeometryError: A volume is no regular one.
        OutputError: The folder holds something else, or cannot be written.
    """
    options = options or ExplanationOptions()
    opened = open_bundle(bundle)
    steps = options.steps
    if steps is None and all(chain.inversion.steps == 0 for chain in opened.chains.values()):
        steps = InversionSettings.steps
    loaded = opened.segmenter(device=options.device, options=SegmenterOptions(steps=steps, modality=options.modality))
    given = read_network_input(image, loaded)
    total = loaded.inversions[given.chain].settings.steps
    shown = options.shown_steps(total)
    animated = sorted({*shown, *np.linspace(0, total, min(MAX_FRAMES, total + 1)).round().astype(int).tolist()})
    result = invert_input(loaded, given, keep_at=animated)
    drawn = _draw(loaded, given.chain, result, animated)
    taken = int(result.steps_taken[0])
    drawn = {min(step, taken): part for step, part in drawn.items()}  # what comes after the end is the end
    shown = tuple(dict.fromkeys(min(step, taken) for step in shown))
    explanation = _explanation(loaded, given, result, {step: drawn[step] for step in shown})
    with replacing_results(output, MARKER) as folder:
        panels = {
            step: reconstruction_panel(given.image, part.image, part.label, loaded.model.colors)
            for step, part in drawn.items()
        }
        animations = {
            kind: encode_animation(list(panels.values()), kind, frame_ms=options.frame_ms)
            for kind in dict.fromkeys(options.animations)
        }
        for kind, content in animations.items():
            write_bytes(folder / f"animation.{kind}", content)
        (folder / "steps").mkdir()
        for step in shown:
            save_image(folder / "steps" / f"{step:04d}.png", panels[step])
            write_label(folder / "steps" / f"{step:04d}_label.png", drawn[step].label)
        page = ExplanationPage(
            record=explanation.to_json(),
            class_names=loaded.model.class_names,
            colors=loaded.model.colors,
            steps=tuple(
                ExplainedStep(numbers=numbers, picture=panels[step])
                for step, numbers in zip(shown, explanation.shown, strict=True)
            ),
            animation=next(iter(animations.values()), None),
        )
        write_text(folder / "explanation.html", render_explanation(page))
        write_json(folder / MARKER, explanation.to_json())
    return explanation


@torch.no_grad()
def _draw(loaded: Segmenter, chain: str, result: InversionResult, steps: Sequence[int]) -> dict[int, _Step]:
    """Render image and label of each step, the label mixed with the encoder's as the bundle does."""
    synthesis = loaded.network.generator.synthesis
    fusion = LabelFusion(loaded.inversions[chain].settings.encoder_share)
    _, encoded = synthesis(result.encoded)
    drawn = {}
    for step in steps:
        image, refined = synthesis(result.kept[step])
        label = fusion(refined, encoded).label_logits.argmax(dim=1)
        drawn[step] = _Step(image[0].float().cpu().numpy(), label[0].to(torch.uint8).cpu().numpy())
    return drawn


def _explanation(
    loaded: Segmenter, given: NetworkInput, result: InversionResult, shown: Mapping[int, _Step]
) -> Explanation:
    losses = [loss for loss in result.trace[0].tolist() if math.isfinite(loss)]
    _, encoded = loaded.network.generator.synthesis(result.encoded)
    start = encoded[0].argmax(dim=0).cpu().numpy()
    numbers = [
        {
            "step": step,
            "loss": losses[min(step, len(losses) - 1)] if losses else None,
            "image_error": float(np.square(part.image - given.image).mean()),
            "label_change": float((part.label != start).mean()),
            "class_shares": [float((part.label == at).mean()) for at in range(1, len(loaded.model.class_names))],
        }
        for step, part in shown.items()
    ]
    return Explanation(
        bundle=loaded.bundle,
        source=given.record,
        slice=given.slice,
        modality=given.chain,
        inversion=to_json(loaded.inversions[given.chain].settings),
        steps_taken=int(result.steps_taken[0]),
        losses=tuple(round(loss, 6) for loss in losses),
        shown=tuple(numbers),
        versions=environment(),
    )
