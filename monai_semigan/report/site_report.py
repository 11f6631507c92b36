# SPDX-License-Identifier: Apache-2.0
"""The page that shows how two sites' images differ for a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from monai_semigan.pictures.figures import distribution_plot
from monai_semigan.pictures.frames import tile_grid
from monai_semigan.pictures.overlay import as_pixels, encode_jpeg
from monai_semigan.templates import MISSING, render

__all__ = ["SitePage", "render_site_report"]

MEASURES = {
    "reconstruction_error": "reconstruction error",
    "expected_dice": "expected Dice",
    "dice": "Dice",
    "ood": "out-of-distribution score",
}

TILE_PX = 128


@dataclass(frozen=True, kw_only=True)
class SitePage:
    """What the page shows.

    Attributes:
        record: Content of ``sites.json``.
        images: Some of each site as the network sees them, ``(C, S, S)`` in [-1, 1].
    """

    record: Mapping[str, Any]
    images: tuple[tuple[np.ndarray, ...], ...]


def render_site_report(page: SitePage) -> str:
    """Return the page as one self-contained HTML document."""
    record, embedding = page.record, page.record["embedding"]
    first, second = record["sites"]
    known = [key for key in MEASURES if key in first["means"] or key in second["means"]]
    plots = [
        (
            MEASURES[key],
            distribution_plot(
                {site["name"]: site["values"].get(key, ()) for site in (first, second)}, axis=MEASURES[key]
            ),
        )
        for key in known
    ]
    return render(
        "sites.html",
        about=f"{first['name']} and {second['name']} · {record['bundle']['name']} {record['bundle']['version']}",
        tiles=[
            (
                f"{embedding['distance']:.3f}",
                "distance of the embeddings",
                f"{embedding['expected']:.3f} by chance, p {_p(embedding['p_value'])}",
            ),
            *(
                (
                    f"{record['differences'][key]['difference']:+.3f}",
                    f"{MEASURES[key]}, {second['name']} minus {first['name']}",
                    f"p {_p(record['differences'][key]['p_value'])}",
                )
                for key in known
                if key in record["differences"]
            ),
        ],
        head=(
            "measure",
            first["name"],
            second["name"],
            "difference",
            "p",
            f"outside, {first['name']}",
            f"outside, {second['name']}",
        ),
        rows=[_row(record, key) for key in known],
        plots=[(title, svg) for title, svg in plots if svg],
        sites=[
            (site["name"], _counts(site), encode_jpeg(_strip(images)))
            for site, images in zip((first, second), page.images, strict=True)
        ],
        footer=", ".join(f"{name} {value}" for name, value in record["versions"].items())
        + f"; bundle digest {record['bundle']['digest']}",
    )


def _row(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    sites, difference = record["sites"], record["differences"].get(key)
    means = [_number(site["means"].get(key)) for site in sites]
    outside = [_percent(site["outside"].get(key)) for site in sites]
    changed = (
        (_number(None), _number(None))
        if difference is None
        else (f"{difference['difference']:+.3f}", _p(difference["p_value"]))
    )
    return (MEASURES[key], *means, *changed, *outside)


def _counts(site: Mapping[str, Any]) -> str:
    return f"{site['num_images']} of {site['num_in_list']} images, {site['num_labelled']} with a label"


def _strip(images: Sequence[np.ndarray]) -> Image.Image:
    tiles = [
        Image.fromarray(as_pixels(image)).convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
        for image in images
    ]
    return tile_grid(tiles, [""] * len(tiles), columns=len(tiles))


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.0f} %"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"
