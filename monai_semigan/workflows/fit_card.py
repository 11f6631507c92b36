# SPDX-License-Identifier: Apache-2.0
"""What a fit says of itself: the bundle's card, the note on its data, and a page with curves and samples."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_semigan.bundle.bundle import Bundle, open_bundle
from monai_semigan.files import write_text
from monai_semigan.pictures.figures import curve_plot
from monai_semigan.templates import render
from monai_semigan.training.run_folder import read_stats
from monai_semigan.versions import environment
from monai_semigan.workflows.card_head import card_head

if TYPE_CHECKING:
    from monai_semigan.workflows.fitting import FitResult

__all__ = ["write_fit_page", "write_fit_texts"]

GAN_LOSSES = ("loss_d_image", "loss_d_pair", "loss_g_image", "loss_g_pair")
ENCODER_LOSSES = ("loss_image", "loss_label", "loss_teacher")


def write_fit_texts(folder: Path, result: FitResult, base: Bundle | None) -> None:
    """Write ``docs/README.md`` and ``docs/data_license.txt`` of the new bundle."""
    packed = open_bundle(folder)
    (folder / "docs").mkdir(exist_ok=True)
    write_text(folder / "docs" / "README.md", _card(packed, result, base))
    own = (
        f"{result.num_labelled} labelled, {result.num_unlabelled} unlabelled and {result.num_validation} validation "
        "images, not described yet: name each source with its terms here before these weights are passed on.\n"
    )
    before = ""
    if base is not None:
        path = base.root / "docs" / "data_license.txt"
        theirs = path.read_text(encoding="utf-8") if path.is_file() else ""
        before = (
            f"The training started from {base.name} {base.version}, whose terms hold for these weights too:\n\n{theirs}"
        )
    title = "Data behind the weights in models/"
    write_text(
        folder / "docs" / "data_license.txt", f"{title}\n{'=' * len(title)}\n\n{own}{before and chr(10)}{before}"
    )


def _card(packed: Bundle, result: FitResult, base: Bundle | None) -> str:
    size = packed.network.image_size
    start = "random weights" if base is None else f"{base.name} {base.version}, `{base.digest}`"
    limits = packed.image_chain
    facts = {
        "Started from": start,
        "Training": f"{result.num_labelled} labelled images, {result.num_unlabelled} unlabelled",
        "Checkpoint and settings": f"{result.num_validation} validation images",
    }
    lines = [
        *card_head(packed, facts),
        "## How it was trained",
        "",
        *(f"- {reason}" for reason in result.plan.reasons),
        "" if result.plan.gan_kimg else "- The generator is the one of the bundle that the training started from.",
        "",
        "## Results",
        "",
        f"Dice on the validation images, mean over patients with its 95 % interval, at {size} px, encoder alone. The "
        "checkpoint was chosen on them, so the numbers of the bundle are a little too good.",
        "",
        "| what | Dice |",
        "|---|---|",
        f"| this bundle | {result.dice} |",
        f"| plain U-Net, the same labels | {result.unet_dice} |",
        f"| teacher, a U-Net under strong disturbances | {result.teacher_dice} |",
        f"| bundle less plain U-Net, the same patients | {result.gain} |",
        "",
        "No test set was scored: segment images of patients that are in none of the lists, and compare "
        "(`semigan segment`, `semigan evaluate`).",
        "",
        "## When not to trust a mask",
        "",
        f"`semigan` warns where the expected Dice is below {limits.min_expected_dice or 0:.3f} or the reconstruction "
        f"error above {limits.max_image_error:.3g}: limits of the validation images.",
        *(["", "## Limits", "", *(f"- {warning}" for warning in result.warnings)] if result.warnings else []),
    ]
    return "\n".join(lines) + "\n"


def write_fit_page(path: Path, name: str, result: FitResult) -> None:
    """Write the page with scores, curves and the last sheets of samples."""
    encoder, gan = read_stats(result.run / "encoder"), read_stats(result.run / "gan")
    plots = [
        ("Dice on validation", curve_plot({"Dice": _points(encoder, "validation_dice")}, **_axes("Dice"))),
        ("Losses of the encoder", curve_plot(_series(encoder, ENCODER_LOSSES), **_axes("loss"))),
        ("Losses of the GAN", curve_plot(_series(gan, GAN_LOSSES), **_axes("loss"))),
    ]
    sheets = [
        (
            "Validation images",
            "Each image, its redrawing beside it, both with their labels.",
            "encoder",
            "validation-*.png",
        ),
        ("Drawn by the generator", "Images that it invents, with their labels.", "gan", "samples-*.png"),
    ]
    found = [(title, note, _latest(result.run / part, pattern)) for title, note, part, pattern in sheets]
    page = render(
        "fit.html",
        name=name,
        about=time.strftime("%Y-%m-%d %H:%M"),
        tiles=[
            (f"{result.dice.mean:.3f}", "Dice of the bundle", str(result.dice)),
            (f"{result.unet_dice.mean:.3f}", "Dice of a plain U-Net", str(result.unet_dice)),
            (f"{result.gain.mean:+.3f}", "difference, same patients", str(result.gain)),
            (f"{result.teacher_dice.mean:.3f}", "Dice of the teacher", str(result.teacher_dice)),
        ],
        warnings=[("data", warning) for warning in result.warnings],
        data=[
            ("labelled", result.num_labelled),
            ("unlabelled", result.num_unlabelled),
            ("validation", result.num_validation),
        ],
        reasons=result.plan.reasons,
        plots=[(title, svg) for title, svg in plots if svg],
        sheets=[(title, note, picture) for title, note, picture in found if picture],
        footer=", ".join(f"{key} {value}" for key, value in environment().items()),
    )
    write_text(path, page)


def _axes(what: str) -> dict[str, str]:
    return {"x_axis": "thousand images", "y_axis": what}


def _points(stats: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["kimg"], line[name]) for line in stats if name in line]


def _series(stats: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    return {name.removeprefix("loss_").replace("_", " "): _points(stats, name) for name in names}


def _latest(folder: Path, pattern: str) -> bytes | None:
    sheets = sorted(folder.glob(pattern)) if folder.is_dir() else []
    return sheets[-1].read_bytes() if sheets else None
