"""Folders of small images and masks, and the data lists made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from monai_semigan.workflows.listing import DatalistOptions, make_datalist

SHAPE = (18, 23)


def picture(path: Path, seed: int | None = None, shape: tuple[int, int] = SHAPE) -> Path:
    """Write grey noise; other names give other noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, str(path))) if seed is None else seed)
    Image.fromarray(rng.integers(1, 250, shape, dtype=np.uint8)).save(path)
    return path


def mask(path: Path, value: int = 255, shape: tuple[int, int] = SHAPE, *, at: int = 0) -> Path:
    """Write a rectangle off the middle; ``at`` moves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(shape, np.uint8)
    pixels[2:5, 1 + at : 9 + at] = value
    Image.fromarray(pixels).save(path)
    return path


def study(folder: Path, names: list[str], *, unlabelled: tuple[str, ...] = ()) -> Path:
    """Write ``images/NAME.png``, and ``masks/NAME.png`` of those that are labelled."""
    for at, name in enumerate(names):
        picture(folder / "images" / f"{name}.png", seed=100 + at)
        if name not in unlabelled:
            mask(folder / "masks" / f"{name}.png", at=at % 12)
    return folder


def listed(folder: Path, images: str = "images", masks: str | None = "masks", csv: str | None = None, **options):
    """Make the list of a study and return its summary with the content of the file."""
    summary = make_datalist(
        folder / images,
        masks=masks if masks is None or "{" in masks else folder / masks,
        csv=None if csv is None else folder / csv,
        output=folder / "data.json",
        options=DatalistOptions(**options),
    )
    return summary, json.loads((folder / "data.json").read_text())


def pairs(content: dict) -> dict[str, str]:
    return {entry["image"]: entry["label"] for role in ("labelled", "validation") for entry in content[role]}


def names(entries) -> set[str]:
    return {Path(entry["image"]).stem for entry in entries}


def sides(content: dict) -> tuple[set[str], set[str]]:
    """Names that are trained on, and names that are scored on."""
    tests = [entry for entries in content["test"].values() for entry in entries]
    return names(content["labelled"] + content["unlabelled"]), names(content["validation"] + tests)


def many(folder: Path, patients: int = 10, images: int = 3, *, unlabelled: tuple[str, ...] = ()) -> Path:
    return study(folder, [f"p{who:02d}_{at}" for who in range(patients) for at in range(images)], unlabelled=unlabelled)
