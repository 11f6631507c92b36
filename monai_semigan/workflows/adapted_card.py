# SPDX-License-Identifier: Apache-2.0
"""The model card of an adapted bundle: what it came from, what was learned, before and after."""

from __future__ import annotations

from pathlib import Path

from monai_semigan.bundle.bundle import Bundle
from monai_semigan.files import write_text
from monai_semigan.workflows.adapt_result import AdaptResult
from monai_semigan.workflows.card_head import card_head

__all__ = ["write_card"]

SAME_AREA = 0.02
"""Areas that differ by less are called equal."""


def write_card(folder: Path, packed: Bundle, source: Bundle, result: AdaptResult) -> None:
    """Write ``docs/README.md``, and add to the note on the data's licences what was learned."""
    (folder / "docs").mkdir(exist_ok=True)
    write_text(folder / "docs" / "README.md", _card(packed, source, result))
    license_file = folder / "docs" / "data_license.txt"
    before = license_file.read_text(encoding="utf-8") if license_file.is_file() else ""
    write_text(
        license_file,
        f"{before.rstrip()}\n\nAdapted to further images\n=========================\n\n"
        f"{_images(result)}, not described yet: name source and terms here before these weights\n"
        "are passed on. All of the above holds for these weights too.\n"
        f"Data list, SHA-256 over its files' names and sizes: {result.adapted_from.data_digest}\n",
    )


def _card(packed: Bundle, source: Bundle, result: AdaptResult) -> str:
    origin, size = result.adapted_from, packed.network.image_size
    facts = {
        "Adapted from": f"{origin.name} {origin.version}, `{origin.digest}`",
        "Data list": f"SHA-256 over its files' names and sizes: `{origin.data_digest}`",
    }
    made = (
        f"The bundle {origin.name} {origin.version}, adapted to {_images(result)} in {_counted(origin.steps, 'step')}. "
        "Its generator is the one of before; its encoder learned to find what these labels show."
    )
    lines = [
        *card_head(packed, facts, before_table=made),
        "## Before and after",
        "",
        *_scores(result, size),
        "## Convention",
        "",
        *(f"- {_convention(name, ratio)}" for name, ratio in result.area_ratio.items()),
        "",
        "The adapted bundle draws as these labels do, and gives up what the bundle before drew.",
        *_old_data(result, source),
        "",
        "## Limits",
        "",
        f"- {_images(result)} cannot show all that a hospital sees: look at results of other patients before relying "
        "on them.",
        "- What the bundle before could not do, this one cannot do either; see its card.",
        *(f"- {warning}" for warning in result.warnings),
    ]
    return "\n".join(lines) + "\n"


def _scores(result: AdaptResult, size: int) -> list[str]:
    if not result.rows or result.gain is None:
        return ["Not known: the labelled images are of one patient, so none could be held out.", ""]
    rows = [
        f"| {'before' if row.steps == 0 else row.steps} | {row.dice}{' (ships)' if row.steps == result.steps else ''} |"
        for row in result.rows
    ]
    return [
        f"Dice on images that were not learned (cross-validation by patient, at the network's {size} px, encoder "
        "alone), mean over patients with its 95 % interval:",
        "",
        "| steps | Dice |",
        "|---|---|",
        *rows,
        "",
        f"Gain on the same images: {result.gain}. The number of steps was chosen on these images, so the gain is a "
        "little too good; the weights that ship learned all of them.",
        "",
    ]


def _convention(name: str, ratio: float | None) -> str:
    if ratio is None:
        return f"{name}: the bundle before found none of it."
    if abs(ratio - 1) < SAME_AREA:
        return f"{name}: the labels are as large as what the bundle before drew."
    return (
        f"{name}: the labels are {abs(ratio - 1):.0%} {'larger' if ratio > 1 else 'smaller'} than what the bundle "
        "before drew."
    )


def _images(result: AdaptResult) -> str:
    labelled = f"{_counted(result.num_images, 'labelled image')} of {_counted(result.num_patients, 'patient')}"
    return f"{labelled} and {result.num_unlabelled} without labels" if result.num_unlabelled else labelled


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _old_data(result: AdaptResult, source: Bundle) -> list[str]:
    if result.old_before is None or result.old_after is None:
        return []
    return [
        "",
        f"On the labelled samples that {source.name} ships, Dice was {result.old_before:.3f} and is now "
        f"{result.old_after:.3f}: for data of that kind the bundle before is the better one."
        if result.old_after < result.old_before
        else f"On the labelled samples that {source.name} ships, Dice was {result.old_before:.3f} and is now "
        f"{result.old_after:.3f}.",
    ]
