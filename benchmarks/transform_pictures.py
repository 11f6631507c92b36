# SPDX-License-Identifier: Apache-2.0
"""Draw what each transform does, for docs/transforms.md.

python -m benchmarks.transform_pictures docs/images/transforms

The sources are drawn: a trunk as CT and MR, skin with a lesion. With ``--ct``, ``--mr`` and ``--skin`` images of your
own take their place (CT: an 8-bit picture of 0..255 HU; MR: any grey picture).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from monai_semigan.domains.abdomen import CtSlicePreset, MrSlicePreset
from monai_semigan.domains.photographs import DermoscopyPreset, FacePreset
from monai_semigan.transforms.body import Box, Modality, body_box, body_mask
from monai_semigan.transforms.ct_to_mr import CrossModalitySettings, cross_modality
from monai_semigan.transforms.ct_window import WINDOWS, window_hu
from monai_semigan.transforms.dermoscopy import (
    clean_skin,
    fill_in,
    hair_mask,
    shades_of_grey,
    sticker_mask,
    vignette_mask,
)
from monai_semigan.transforms.mri import body_percentiles, correct_bias_field, match_quantiles, window_signal

TILE = 160
GAP = 8
TITLE = 18

Panel = tuple[str, np.ndarray]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    for name in ("ct", "mr", "skin"):
        parser.add_argument(f"--{name}", type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    ct = draw_ct() if arguments.ct is None else _read(arguments.ct, "L").astype(np.float32)
    mr = draw_mr() if arguments.mr is None else _read(arguments.mr, "L").astype(np.float32)
    skin = draw_skin() if arguments.skin is None else _read(arguments.skin, "RGB").astype(np.float32) / 255
    pictures = {
        "windows": windows(ct),
        "body": body(ct, mr),
        "bias": bias(mr),
        "window_mr": window_mr(mr),
        "slices": slices(ct, mr),
        "cross_modality": augmented(ct),
        "hair": skin_step(skin, "hair", hair_mask),
        "vignette": skin_step(skin, "vignette", vignette_mask),
        "stickers": skin_step(
            fill_in(skin, vignette_mask(skin)), "stickers", lambda rgb: sticker_mask(shades_of_grey(rgb))
        ),
        "balance": balance(skin),
        "dermoscopy": dermoscopy(skin),
        "face": face(),
    }
    for name, panels in pictures.items():
        _sheet(panels).quantize(64).save(arguments.output / f"{name}.png", optimize=True)


def windows(hu: np.ndarray) -> list[Panel]:
    """Every named window."""
    return [(name, window_hu(hu, low=window.low, high=window.high)) for name, window in WINDOWS.items()]


def body(ct: np.ndarray, mr: np.ndarray) -> list[Panel]:
    """Trunk and box in CT and MR."""
    low, high = body_percentiles(mr[None])
    return [
        ("CT: trunk and box", _framed(window_hu(ct, low=0, high=255), ct, "CT")),
        ("MR: trunk and box", _framed(window_signal(mr, low=low, high=high), mr, "MR")),
    ]


def bias(mr: np.ndarray) -> list[Panel]:
    """A strong bias field, and what N4 makes of it."""
    rows, columns = np.indices(mr.shape) / np.array(mr.shape)[:, None, None]
    biased = mr * np.exp(1.2 * (columns - 0.5) - 0.8 * (rows - 0.5))
    corrected = correct_bias_field(biased[None])[0]
    shown = [("bias field", biased), ("N4", corrected)]
    return [(name, window_signal(image, low=0, high=body_percentiles(image[None])[1])) for name, image in shown]


def window_mr(mr: np.ndarray) -> list[Panel]:
    """Raw signal, the window between percentiles, a matched histogram."""
    low, high = body_percentiles(mr[None])
    matched = match_quantiles(mr, np.linspace(-1, 1, 33), mask=body_mask(mr, modality="MR"))
    whole = window_signal(mr, low=float(mr.min()), high=float(mr.max()))
    return [
        ("whole range", whole),
        ("percentiles", window_signal(mr, low=low, high=high)),
        ("flat reference", matched),
    ]


def slices(ct: np.ndarray, mr: np.ndarray) -> list[Panel]:
    """The network's input."""
    return [
        ("CtSlicePreset", CtSlicePreset(image_size=128).prepare(ct)[0][0]),
        ("MrSlicePreset", MrSlicePreset(image_size=128).prepare(mr)[0][0]),
        ("400 mm", CtSlicePreset(image_size=128, field_of_view_mm=400).prepare(ct, spacing_mm=(1.5, 1.5))[0][0]),
    ]


def augmented(ct: np.ndarray) -> list[Panel]:
    """Each kind of change alone, then all together."""
    image = torch.from_numpy(CtSlicePreset(image_size=128).prepare(ct)[0])[None]
    nothing = {"dark_tissue": 0.0, "remap": 0.0, "bias_field": 0.0, "blur": 0.0, "noise": 0.0}
    defaults = CrossModalitySettings()
    panels = [("source", image[0, 0].numpy())]
    torch.manual_seed(4)
    for name in nothing:
        settings = CrossModalitySettings(**(nothing | {name: getattr(defaults, name), "probability": 1.0}))
        panels.append((name, cross_modality(image, settings)[0, 0].numpy()))
    panels += [("all", cross_modality(image, defaults)[0, 0].numpy()) for _ in range(6)]
    return panels


def skin_step(rgb: np.ndarray, name: str, find: object) -> list[Panel]:
    """Source, what is found, what replaces it."""
    mask = find(rgb)  # type: ignore[operator]
    marked = np.where(mask[..., None], np.float32((0, 0.8, 0.2)), rgb)
    return [("source", rgb), (name, marked), ("filled", fill_in(rgb, mask))]


def balance(rgb: np.ndarray) -> list[Panel]:
    """Two lights, and both balanced."""
    warm, cold = rgb * np.float32((0.95, 0.75, 0.5)), rgb * np.float32((0.65, 0.75, 0.95))
    shown = [("warm light", warm), ("cold light", cold)]
    return [*shown, *[("balanced", shades_of_grey(light)) for _, light in shown]]


def dermoscopy(rgb: np.ndarray) -> list[Panel]:
    """The whole chain."""
    prepared, _ = DermoscopyPreset(image_size=128).prepare(rgb)
    return [
        ("source", rgb),
        ("clean_skin", clean_skin(rgb)),
        ("DermoscopyPreset", np.moveaxis(prepared, 0, -1) / 2 + 0.5),
    ]


def face() -> list[Panel]:
    """A drawn portrait and its crop."""
    rgb = np.full((160, 240, 3), 0.8, dtype=np.float32)
    parts = [
        ((70, 120), (62, 48), (0.25, 0.15, 0.1)), ((85, 120), (50, 38), (0.9, 0.7, 0.6)),
        ((75, 104), (4, 8), (0.2, 0.3, 0.5)), ((75, 136), (4, 8), (0.2, 0.3, 0.5)),
        ((92, 120), (10, 5), (0.8, 0.58, 0.5)), ((113, 120), (5, 14), (0.75, 0.25, 0.3)),
    ]  # fmt: skip
    for center, radii, color in parts:
        rgb[_ellipse(rgb.shape[:2], center, radii)] = color
    prepared, _ = FacePreset(image_size=128).prepare(rgb)
    return [("source", rgb), ("FacePreset", np.moveaxis(prepared, 0, -1) / 2 + 0.5)]


def draw_ct(*, noise_hu: float = 12.0) -> np.ndarray:
    """Draw a trunk in HU: skin, fat, wall with ribs, liver with vessels, spleen, spine, a table below; 256 x 256."""
    shape = (256, 256)
    hu = np.full(shape, -1000.0)
    for center, radii, value in (
        ((118, 128), (84, 110), -20), ((118, 128), (82, 108), -100), ((118, 128), (72, 98), 55),
        ((118, 128), (64, 90), -90),
        ((108, 86), (46, 44), 110), ((84, 128), (22, 40), 110), ((128, 190), (24, 18), 125), ((90, 180), (16, 22), 10),
        ((150, 96), (16, 12), 190), ((150, 166), (16, 12), 190), ((140, 128), (9, 9), 160), ((164, 128), (17, 16), 350),
        ((184, 128), (12, 5), 300), ((178, 104), (8, 16), 60), ((178, 152), (8, 16), 60), ((104, 80), (4, 18), 170),
    ):  # fmt: skip
        hu[_ellipse(shape, center, radii)] = value
    for angle in np.linspace(0.1, 2 * np.pi, 16):
        place = 118 + 68 * np.sin(angle), 128 + 94 * np.cos(angle)
        hu[_ellipse(shape, place, (4, 4))] = 400
    rows, columns = np.indices(shape)
    hu[np.abs(rows - (214 - (columns - 128) ** 2 / 1200)) < 2] = 300
    return hu + np.random.default_rng(0).normal(0, noise_hu, shape)


def draw_mr() -> np.ndarray:
    """Draw the same trunk as fat-suppressed MR signal, brighter on one side."""
    hu = draw_ct(noise_hu=0)
    keys = (-1000, -101, -100, -20, 10, 55, 60, 110, 125, 160, 170, 190, 300, 350, 400)
    signal = np.interp(hu, keys, (0, 0, 90, 90, 500, 150, 150, 280, 420, 60, 420, 600, 60, 180, 40))
    rows, columns = np.indices(hu.shape)
    signal[rows > 206] = 0  # the table gives no signal
    signal *= np.exp((128 - columns) / 500)
    rng = np.random.default_rng(1)
    return np.hypot(signal + rng.normal(0, 12, hu.shape), rng.normal(0, 12, hu.shape))


def draw_skin() -> np.ndarray:
    """Draw skin with a lesion under a lens: hair, a blue sticker, a dark surround; 192 x 256."""
    shape = (192, 256)
    rng = np.random.default_rng(0)
    rows, columns = np.indices(shape)
    radius = np.hypot((rows - 98) / 38, (columns - 118) / 50)
    angle = np.arctan2(rows - 98, columns - 118)
    share = 1 / (1 + np.exp((radius - 1 - 0.12 * np.sin(3 * angle) - 0.06 * np.sin(7 * angle)) * 14))
    rgb = (1 - share[..., None]) * (0.86, 0.69, 0.61) + share[..., None] * np.array((0.46, 0.29, 0.2))
    rgb[np.hypot(rows - 40, columns - 228) < 26] = (0.2, 0.35, 0.75)
    for start, slope, bend in ((10, 1.1, 9), (215, -0.9, 12), (150, 0.15, -14), (70, 0.4, 10)):
        line = start + slope * np.arange(192) + bend * np.sin(np.arange(192) / 25)
        rgb[np.abs(columns - line[:, None]) < 1.3] = (0.16, 0.1, 0.08)
    rgb[np.hypot(rows - 96, columns - 128) > 122] = 0.04
    return (rgb + rng.normal(0, 0.01, rgb.shape)).clip(0, 1).astype(np.float32)


def _ellipse(shape: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    rows, columns = np.indices(shape)
    inside: np.ndarray = ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 < 1
    return inside


def _framed(image: np.ndarray, pixels: np.ndarray, modality: Modality) -> np.ndarray:
    """Draw the trunk's outline and box into a picture."""
    mask, box = body_mask(pixels, modality=modality), body_box(pixels, modality=modality)
    rgb = np.repeat((image / 2 + 0.5)[..., None], 3, axis=-1)
    edge = mask ^ (np.roll(mask, 1, 0) & np.roll(mask, -1, 0) & np.roll(mask, 1, 1) & np.roll(mask, -1, 1) & mask)
    rgb[edge] = (0.2, 0.9, 0.3)
    return rgb if box is None else _boxed(rgb, box)


def _boxed(rgb: np.ndarray, box: Box) -> np.ndarray:
    top, bottom, left, right = box
    for line in (
        np.s_[top, left:right],
        np.s_[bottom - 1, left:right],
        np.s_[top:bottom, left],
        np.s_[top:bottom, right - 1],
    ):
        rgb[line] = (1, 0.3, 0.2)
    return rgb


def _read(path: Path, mode: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


def _sheet(panels: Sequence[Panel], columns: int = 4) -> Image.Image:
    """Put titled tiles into rows; grey ones are in [-1, 1], colored ones in [0, 1]."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) - GAP, rows * (TILE + TITLE + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for at, (title, values) in enumerate(panels):
        left, top = at % columns * (TILE + GAP), at // columns * (TILE + TITLE + GAP)
        shown = values if values.ndim == 3 else values / 2 + 0.5
        tile = Image.fromarray((shown.clip(0, 1) * 255).round().astype(np.uint8)).convert("RGB")
        size = round(tile.width * TILE / max(tile.size)), round(tile.height * TILE / max(tile.size))
        draw.text((left, top), title, fill="black", font=font)
        sheet.paste(tile.resize(size, Image.Resampling.BICUBIC), (left + (TILE - size[0]) // 2, top + TITLE))
    return sheet


if __name__ == "__main__":
    main()
