# SPDX-License-Identifier: Apache-2.0
"""How well a bundle's out-of-distribution score tells foreign images from those of its own kind.

    python -m benchmarks.ood lung_cxr_segmentation lung175.json --foreign derm=derm421.json ct=liver82.json
    python -m benchmarks.ood lesion_dermoscopy_segmentation derm421.json --any-side-up --foreign cxr=lung175.json

The first test set of the data list is the bundle's own kind; the others are other hospitals. Foreign are the test sets
of other lists or the pictures of folders, the bundle's own test images turned, inverted or cropped to half, and what is
drawn: noise, clouds, nearly blank pictures. What comes in is what a user would give: pixels before any preparation.
AUROC is of the score, own kind against foreign; the limit is the bundle's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from scipy.stats import rankdata

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.bundle.ood_file import known_chains
from monai_semigan.errors import InputError
from monai_semigan.io.datalist import Entry, load_datalist
from monai_semigan.io.image_file import find_images, read_image
from monai_semigan.segmentation.ood_fit import score_images

Pixels = np.ndarray

CORRUPTIONS: dict[str, tuple[float, ...]] = {
    "blur": (1, 2, 4, 8),
    "noise": (6, 14, 30, 60),
    "contrast": (0.8, 0.6, 0.4, 0.2),
}
"""Strengths: standard deviation in pixels of 256, in grey values of 255; and a factor."""

DRAWN = 40
"""Pictures of each drawn kind."""


def turned(pixels: Pixels, quarters: int) -> Pixels:
    """Turn counterclockwise."""
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def halves(pixels: Pixels) -> list[Pixels]:
    """Return upper, lower, left and right half."""
    rows, columns = (size // 2 for size in pixels.shape[:2])
    return [pixels[:rows], pixels[rows:], pixels[:, :columns], pixels[:, columns:]]


def corrupted(pixels: Pixels, kind: str, strength: float, rng: np.random.Generator) -> Pixels:
    """Blur, add noise, or take contrast away."""
    values = pixels.astype(np.float32)
    if kind == "blur":
        values = ndimage.gaussian_filter(values, (strength, strength, 0)[: values.ndim])
    elif kind == "noise":
        values = values + rng.normal(0, strength, values.shape)
    else:
        values = (values - values.mean()) * strength + values.mean()
    return values.clip(0, 255).round().astype(np.uint8)


def drawn(channels: int, rng: np.random.Generator) -> dict[str, list[Pixels]]:
    """Draw pictures that show nothing."""
    shape = (256, 256) if channels == 1 else (256, 256, 3)
    axes = (8, 8, 0)[: len(shape)]
    noise = [rng.integers(0, 256, shape).astype(np.uint8) for _ in range(DRAWN)]
    clouds = [(128 + 480 * ndimage.gaussian_filter(rng.normal(size=shape), axes)).clip(0, 255) for _ in range(DRAWN)]
    blank = [
        (grey + rng.normal(0, 0.6, shape)).clip(0, 255).round().astype(np.uint8) for grey in np.linspace(5, 250, DRAWN)
    ]
    return {"noise": noise, "clouds": [cloud.astype(np.uint8) for cloud in clouds], "blank": blank}


def auroc(home: np.ndarray, other: np.ndarray) -> float:
    """Return the chance that an image of ``other`` has the higher score; ties count half."""
    ranks = rankdata(np.concatenate([home, other]))
    return float((ranks[len(home) :].sum() - len(other) * (len(other) + 1) / 2) / (len(home) * len(other)))


class Scorer:
    """Prepare and score images with a bundle; what the preparation refuses counts as told apart.

    Args:
        bundle: Name or folder.
        modality: Of a bundle for volumes; None for the first.
        device: Where it computes.
    """

    def __init__(self, bundle: str, modality: str | None, device: str) -> None:
        opened = open_bundle(bundle)
        self.network = load_network(opened, device=torch.device(device))
        chains = known_chains(opened, self.network)
        self.chain = chains[modality or next(iter(chains))]
        if self.chain.ood is None:
            raise SystemExit("The bundle does not say which images it knows: semigan tune --keep-steps --write.")

    def __call__(self, pictures: Iterable[Pixels]) -> np.ndarray:
        images, refused = [], 0
        for pixels in pictures:
            try:
                images.append(self.chain.preset.prepare(self._in_channels(pixels))[0])
            except InputError:  # noqa: PERF203  (one bad picture must not end the others)
                refused += 1
        scores = np.zeros(0)
        if images:
            prepared = torch.from_numpy(np.stack(images).astype(np.float32))
            assert self.chain.ood is not None
            scores = score_images(self.chain.ood, self.network, prepared).cpu().numpy()
        return np.concatenate([scores, np.ones(refused)])

    def _in_channels(self, pixels: Pixels) -> Pixels:
        if self.chain.preset.channels == 1 and pixels.ndim == 3:
            return np.asarray(Image.fromarray(pixels).convert("L"))
        return np.stack([pixels] * 3, axis=-1) if self.chain.preset.channels == 3 and pixels.ndim == 2 else pixels


def pictures(entries: Iterable[Entry], most: int) -> list[Pixels]:
    """Read the first images, as 8-bit pixels."""
    return [read_image(entry.image).pixels for entry in list(entries)[:most]]


def foreign_sets(own: list[Pixels], arguments: argparse.Namespace, channels: int) -> dict[str, list[Pixels]]:
    """Return the foreign images by kind."""
    kinds: dict[str, Callable[[Pixels], list[Pixels]]] = {
        "turned by 90 degrees": lambda pixels: [turned(pixels, 1)],
        "turned by 180 degrees": lambda pixels: [turned(pixels, 2)],
        "inverted": lambda pixels: [255 - pixels],
        "cropped to half": halves,
    }
    sets = {
        name: [changed for pixels in own for changed in change(pixels)]
        for name, change in kinds.items()
        if not (arguments.any_side_up and name.startswith("turned"))
    }
    sets |= drawn(channels, np.random.default_rng(0))
    for text in arguments.foreign:
        name, path = text.split("=", 1)
        if Path(path).is_dir():
            sets[name] = [read_image(image).pixels for image in find_images([path])[: arguments.most]]
            continue
        for test, entries in load_datalist(path, warn=False).test.items():
            sets[f"{name}: {test}"] = pictures(entries, arguments.most)
    return sets


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score all sets and return the table."""
    score = Scorer(arguments.bundle, arguments.modality, arguments.device)
    data, limit = load_datalist(arguments.datalist, warn=False), score.chain.max_ood
    home_name, *others = data.test
    home = score(pictures(data.test[home_name], arguments.most))
    table: dict[str, Any] = {"home": {"images": len(home), "refused": float((home > limit).mean())}}
    print(f"{home_name}: {(home > limit).mean():.1%} refused", flush=True)
    for name in others:
        scores = score(pictures(data.test[name], arguments.most))
        table[name] = {"images": len(scores), "refused": float((scores > limit).mean())}
        print(f"{name} (other hospital): {(scores > limit).mean():.1%} refused", flush=True)
    found = {}
    own = pictures(data.test[home_name], arguments.most)
    for name, images in foreign_sets(own, arguments, score.chain.preset.channels).items():
        found[name] = score(images)
        row = {"auroc": auroc(home, found[name]), "refused": float((found[name] > limit).mean())}
        table[name] = {"images": len(images), **row}
        print(f"{name}: AUROC {row['auroc']:.3f}, {row['refused']:.1%} refused", flush=True)
    together = np.concatenate(list(found.values()))
    table["all foreign"] = {"auroc": auroc(home, together), "refused": float((together > limit).mean())}
    print(
        f"all foreign: AUROC {table['all foreign']['auroc']:.3f}, {(together > limit).mean():.1%} refused", flush=True
    )
    rng, validation = np.random.default_rng(1), pictures(data.validation, arguments.most)
    for kind, strengths in CORRUPTIONS.items():
        rows = [score([corrupted(pixels, kind, strength, rng) for pixels in validation]) for strength in strengths]
        medians = [float(np.median(row)) for row in (score(validation), *rows)]
        table[f"{kind} by strength"] = {"median": medians, "refused": [float((row > limit).mean()) for row in rows]}
        print(f"{kind}: median score {', '.join(f'{value:.2f}' for value in medians)} by strength", flush=True)
    return table


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("datalist", type=Path)
    parser.add_argument("--foreign", nargs="*", default=[], metavar="NAME=PLACE", help="data list or folder")
    parser.add_argument("--modality")
    parser.add_argument("--any-side-up", action="store_true", help="turned images are as good, as of skin")
    parser.add_argument("--most", type=int, default=100, help="images of each set")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = measured(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
