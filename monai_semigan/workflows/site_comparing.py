# SPDX-License-Identifier: Apache-2.0
"""How the images of two sites differ for a bundle: where they lie in its latent space, and how well it does on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Annotated, Any, Literal

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from monai_semigan.bundle.bundle import Bundle, load_network, open_bundle
from monai_semigan.bundle.serving import bundle_segmenter
from monai_semigan.devices import choose_device
from monai_semigan.domains.base import IMAGE, Domain
from monai_semigan.errors import ConfigError, InputError
from monai_semigan.evaluation.case import score_label
from monai_semigan.evaluation.two_samples import TwoSamples, compare_samples
from monai_semigan.files import replacing_results, write_json, write_text
from monai_semigan.io.datalist import Datalist, Entry, load_datalist
from monai_semigan.io.label_file import read_label
from monai_semigan.report.site_report import SitePage, render_site_report
from monai_semigan.segmentation.record import BundleRecord
from monai_semigan.segmentation.result import Segmentation
from monai_semigan.segmentation.segmenter import Segmenter, SegmenterOptions
from monai_semigan.settings import Range, check_settings, to_json
from monai_semigan.types import PathLike, Progress
from monai_semigan.versions import environment
from monai_semigan.workflows.reading import read

__all__ = ["SiteComparison", "SiteOptions", "compare_sites"]

MARKER = "sites.json"

MIN_IMAGES = 5
"""Fewer images of a site say nothing about it."""

SHOWN = 8
"""Images of each site on the page."""


@dataclass(frozen=True, kw_only=True)
class SiteOptions:
    """What is looked at.

    Attributes:
        most: Images of a site, drawn at random from a list that has more.
        seed: Of this draw, and of the test.
        steps: Of the inversion; None for the bundle's number.
        modality: Of a bundle for volumes, that of the lists' pictures; None for its first.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    most: Annotated[int, Range(MIN_IMAGES, 5000)] = 500
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    steps: Annotated[int, Range(0, 10_000)] | None = None
    modality: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class SiteNumbers:
    """What is known of one site.

    Attributes:
        name: Of its data list.
        num_images: Images that were looked at.
        num_in_list: Images of the list.
        num_labelled: Of those looked at.
        values: By measure, one value per image that has it.
        means: By measure.
        outside: By measure, share of the images beyond the bundle's limit.
    """

    name: str
    num_images: int
    num_in_list: int
    num_labelled: int
    values: Mapping[str, tuple[float, ...]]
    means: Mapping[str, float | None]
    outside: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class MeasureDifference:
    """How a measure differs.

    Attributes:
        difference: Mean of the second site minus that of the first.
        p_value: Mann-Whitney's test, two-sided.
    """

    difference: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class SiteComparison:
    """How two sites differ.

    Attributes:
        schema: Version of this description.
        bundle: For which.
        sites: Both, in order.
        embedding: Distance of the encoder's styles.
        differences: By measure that both sites have: ``reconstruction_error``, ``expected_dice``, ``dice``, ``ood``.
        options: What was asked for.
        versions: Of what computed.
    """

    schema: Literal["semigan-sites-1"] = "semigan-sites-1"
    bundle: BundleRecord
    sites: tuple[SiteNumbers, ...]
    embedding: TwoSamples
    differences: Mapping[str, MeasureDifference]
    options: SiteOptions
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``sites.json`` holds."""
        content: dict[str, Any] = to_json(self)
        return content


@dataclass(frozen=True)
class _Case:
    measures: dict[str, float]
    is_outside: dict[str, bool]
    image: np.ndarray
    is_labelled: bool


def compare_sites(
    first: PathLike,
    second: PathLike,
    output: PathLike,
    *,
    bundle: PathLike,
    options: SiteOptions | None = None,
    progress: Progress | None = None,
) -> SiteComparison:
    """Compare the images of two data lists, whatever their roles there.

    Writes ``sites.json`` and ``sites.html``, which shows images of both sites: it is as private as they are.

    Args:
        first: A data list.
        second: Another.
        output: Folder: new, empty, or of an earlier comparison, which is replaced.
        bundle: A shipped bundle's name, or a bundle folder.
        options: What is looked at.
        progress: Called with images done and their number.

    Raises:
        ConfigError: An option is out of range.
        BundleError: The bundle cannot be used.
        InputError: A list has fewer than 5 images, or one of them cannot be read or prepared.
        OutputError: The folder holds something else, or cannot be written.
    """
    options = options or SiteOptions()
    opened = _for_pictures(open_bundle(bundle), options.modality)
    lists = [load_datalist(path, warn=False) for path in (first, second)]
    chosen = [_chosen(data, options) for data in lists]
    network = load_network(opened, device=choose_device(options.device))
    segmenter = bundle_segmenter(opened, network=network, options=SegmenterOptions(steps=options.steps))
    total, done, sites = sum(map(len, chosen)), 0, []
    for data, entries in zip(lists, chosen, strict=True):
        cases: list[_Case] = []
        for start in range(0, len(entries), segmenter.sources_at_once):
            batch = entries[start : start + segmenter.sources_at_once]
            cases += _segmented(segmenter, batch, is_binary=data.is_binary)
            done += len(batch)
            if progress is not None:
                progress(done, total)
        sites.append(cases)
    names = _names(lists)
    numbers = tuple(
        _numbers(name, cases, len(_all_entries(data))) for name, cases, data in zip(names, sites, lists, strict=True)
    )
    result = SiteComparison(
        bundle=segmenter.bundle,
        sites=numbers,
        embedding=compare_samples(*(_styles(segmenter, cases) for cases in sites), seed=options.seed),
        differences=_differences(numbers),
        options=options,
        versions=environment(),
    )
    with replacing_results(output, MARKER) as folder:
        write_json(folder / MARKER, result.to_json())
        page = SitePage(
            record=result.to_json(), images=tuple(tuple(case.image for case in cases[:SHOWN]) for cases in sites)
        )
        write_text(folder / "sites.html", render_site_report(page))
    return result


def _for_pictures(bundle: Bundle, modality: str | None) -> Bundle:
    """Return a bundle for volumes as one for pictures of their slices, as its training images are."""
    if not bundle.takes_volumes:
        if modality is not None:
            raise ConfigError(f"`modality` must not be given for a bundle for images, got {modality!r:.40}.")
        return bundle
    name = modality or next(iter(bundle.chains))
    if name not in bundle.chains:
        raise ConfigError(f"`modality` must be {' or '.join(bundle.chains)}, got {modality!r:.40}.")
    chain = bundle.chains[name]
    domain = Domain(name=bundle.domain.name, presets={IMAGE: type(chain.preset)})
    return replace(bundle, domain=domain, chains={IMAGE: chain})


def _all_entries(data: Datalist) -> list[Entry]:
    """Every image once, with its label where one is known."""
    parts = (data.unlabelled, data.labelled, data.validation, *data.test.values())
    return list({entry.image: entry for part in parts for entry in part}.values())


def _chosen(data: Datalist, options: SiteOptions) -> list[Entry]:
    entries = _all_entries(data)
    if len(entries) < MIN_IMAGES:
        raise InputError(f"`{data.path.name}` must have at least {MIN_IMAGES} images, got {len(entries)}.")
    if len(entries) <= options.most:
        return entries
    order = np.random.default_rng(options.seed).permutation(len(entries))[: options.most]
    return [entries[at] for at in sorted(order)]


def _segmented(segmenter: Segmenter, entries: Sequence[Entry], *, is_binary: bool) -> list[_Case]:
    results = segmenter.segment_all([read(entry.image, kind="image") for entry in entries])
    return [_case(segmenter, *pair, is_binary=is_binary) for pair in zip(entries, results, strict=True)]


def _case(segmenter: Segmenter, entry: Entry, result: Segmentation, *, is_binary: bool) -> _Case:
    record, chain = result.record, segmenter.chains[IMAGE]
    measures: dict[str, float] = {}
    outside: dict[str, bool] = {}
    if record.reconstruction.encoder is not None:
        measures["reconstruction_error"] = record.reconstruction.encoder
        outside["reconstruction_error"] = record.reconstruction.encoder > chain.max_image_error
    if record.lowest_expected_dice is not None:
        measures["expected_dice"] = record.lowest_expected_dice
        if chain.min_expected_dice is not None:
            outside["expected_dice"] = record.lowest_expected_dice < chain.min_expected_dice
    ood = getattr(record, "ood", None)  # a bundle need not say it
    if ood is not None:
        measures["ood"], outside["ood"] = ood.score, ood.is_unlike
    if entry.label is not None:
        score = score_label(
            result.label,
            read_label(entry.label, binary=is_binary),
            ignore=read_label(entry.ignore, binary=True).astype(bool) if entry.ignore else None,
            num_classes=len(segmenter.model.class_names),
        )
        measures["dice"] = score.mean_dice
    assert result.view is not None  # of an image
    return _Case(measures, outside, result.view.image, entry.label is not None)


def _names(lists: Sequence[Datalist]) -> list[str]:
    names = [data.path.stem for data in lists]
    return names if names[0] != names[1] else [f"{name} ({letter})" for name, letter in zip(names, "AB", strict=True)]


def _numbers(name: str, cases: Sequence[_Case], num_in_list: int) -> SiteNumbers:
    known = dict.fromkeys(key for case in cases for key in case.measures)
    values = {key: tuple(case.measures[key] for case in cases if key in case.measures) for key in known}
    outside = {key: [case.is_outside[key] for case in cases if key in case.is_outside] for key in known}
    return SiteNumbers(
        name=name,
        num_images=len(cases),
        num_in_list=num_in_list,
        num_labelled=sum(case.is_labelled for case in cases),
        values=values,
        means={key: fmean(part) for key, part in values.items()},
        outside={key: fmean(part) if part else None for key, part in outside.items()},
    )


def _differences(sites: Sequence[SiteNumbers]) -> dict[str, MeasureDifference]:
    first, second = sites
    return {
        key: MeasureDifference(
            difference=fmean(second.values[key]) - fmean(first.values[key]),
            p_value=float(mannwhitneyu(first.values[key], second.values[key]).pvalue),
        )
        for key in first.values
        if key in second.values
    }


@torch.inference_mode()
def _styles(segmenter: Segmenter, cases: Sequence[_Case]) -> np.ndarray:
    """Return the encoder's styles of each image as one vector."""
    encoder = segmenter.network.encoder
    images = torch.split(torch.from_numpy(np.stack([case.image for case in cases])), 16)
    return torch.cat([encoder(part.to(segmenter.device)).w_plus.flatten(1).cpu() for part in images]).numpy()
