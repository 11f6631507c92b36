# SPDX-License-Identifier: Apache-2.0
"""The page that shows how one label was found, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from monai_semigan.pictures.figures import curve_plot
from monai_semigan.pictures.overlay import encode_jpeg
from monai_semigan.templates import MISSING, render

__all__ = ["ExplainedStep", "ExplanationPage", "render_explanation"]


@dataclass(frozen=True, kw_only=True)
class ExplainedStep:
    """One step of the optimization.

    Attributes:
        numbers: ``step``, ``loss``, ``image_error``, ``label_change``, ``class_shares``.
        picture: Network input, reconstruction, its label and the difference, side by side.
    """

    numbers: Mapping[str, Any]
    picture: Image.Image


@dataclass(frozen=True, kw_only=True)
class ExplanationPage:
    """What the page shows.

    Attributes:
        record: Content of ``explanation.json``.
        class_names: Background first.
        colors: RGB per class.
        steps: In order.
        animation: Of all steps, WebP or GIF; None without.
    """

    record: Mapping[str, Any]
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    steps: tuple[ExplainedStep, ...]
    animation: bytes | None = None


def render_explanation(page: ExplanationPage) -> str:
    """Return the page as one self-contained HTML document."""
    record = page.record
    losses = record["losses"]
    curve = curve_plot({"loss": list(enumerate(losses))}, x_axis="step", y_axis="loss")
    place = record["source"]["name"] + (f", slice {record['slice']}" if record["slice"] else "")
    last = page.steps[-1].numbers
    return render(
        "explanation.html",
        about=f"{place} · {record['bundle']['name']} {record['bundle']['version']}",
        tiles=[
            (str(record["steps_taken"]), "steps taken", f"of at most {record['inversion']['steps']}"),
            (
                _number(losses[-1] if losses else None),
                "loss at the end",
                f"{_number(losses[0])} at step 0" if losses else "",
            ),
            (
                f"{100 * last['label_change']:.1f} %",
                "of the pixels changed their class",
                "from step 0 to the last shown",
            ),
        ],
        keys=dict(zip(page.class_names[1:], page.colors[1:], strict=True)),
        steps=[
            (
                f"Step {step.numbers['step']}" + (", the encoder's answer" if step.numbers["step"] == 0 else ""),
                encode_jpeg(step.picture, quality=88),
                _facts(step.numbers, page.class_names),
            )
            for step in page.steps
        ],
        curve=curve,
        animation=page.animation,
        facts=[(name, value) for name, value in record["inversion"].items() if name != "compute_dtype"],
        footer=", ".join(f"{name} {value}" for name, value in record["versions"].items())
        + f"; bundle digest {record['bundle']['digest']}",
    )


def _facts(numbers: Mapping[str, Any], class_names: tuple[str, ...]) -> list[tuple[str, str]]:
    shares = zip(class_names[1:], numbers["class_shares"], strict=True)
    return [
        ("loss", _number(numbers["loss"])),
        ("mean squared error of the image", _number(numbers["image_error"])),
        ("pixels whose class differs from step 0", f"{100 * numbers['label_change']:.1f} %"),
        *((name, f"{100 * share:.1f} %") for name, share in shares),
    ]


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"
