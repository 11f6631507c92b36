# SPDX-License-Identifier: Apache-2.0
"""Which bundle segments which series: a rules file, or one bundle with what it is made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import ConfigError
from monai_semigan.files import read_json
from monai_semigan.io.dicom.rules import SeriesInfo, SeriesRules
from monai_semigan.settings import Range, read_settings
from monai_semigan.types import PathLike

__all__ = ["Route", "choose_route", "read_routes", "route_to"]

MAX_RULES_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Route:
    """One bundle and the series that it takes.

    Attributes:
        bundle: A shipped bundle's name, or a bundle folder.
        takes_volumes: The bundle segments series, not single images.
        rules: Which series.
    """

    bundle: PathLike
    takes_volumes: bool
    rules: SeriesRules


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A rule as the file has it; see `SeriesRules`."""

    bundle: str
    modality: tuple[str, ...] = ()
    description: str | None = None
    body_part: str | None = None
    plane: str | None = None
    min_slices: Annotated[int, Range(1, 100_000)] = 1
    max_slices: Annotated[int, Range(1, 100_000)] | None = None


@dataclass(frozen=True, kw_only=True)
class _RulesFile:
    rules: tuple[_Rule, ...]


def read_routes(path: PathLike) -> list[Route]:
    """Read a rules file: of several rules that take a series, the first one counts.

    Raises:
        ConfigError: It is no rules file, or a rule contradicts its bundle.
        BundleError: A bundle is incomplete, altered, or not to be trusted.
    """
    content = read_settings(_RulesFile, read_json(path, MAX_RULES_BYTES, error=ConfigError), Path(path).name)
    if not content.rules:
        raise ConfigError(f"`{Path(path).name}` must have at least one rule.")
    return [
        route_to(
            rule.bundle,
            SeriesRules(
                modalities=rule.modality,
                description=rule.description,
                body_part=rule.body_part,
                plane=rule.plane,
                min_slices=rule.min_slices,
                max_slices=rule.max_slices,
            ),
        )
        for rule in content.rules
    ]


def route_to(bundle: PathLike, rules: SeriesRules | None = None) -> Route:
    """Make a route to a bundle; without modalities in ``rules`` it takes those that the bundle is made for.

    Raises:
        ConfigError: The bundle says no modality, and the rules do not either.
        BundleError: It is incomplete, altered, or not to be trusted.
    """
    rules, opened = rules or SeriesRules(), open_bundle(bundle)
    usual = tuple(opened.chains) if opened.takes_volumes else opened.domain.modalities
    modalities = rules.modalities or usual
    if not modalities:
        raise ConfigError(f"`modality` must be given in a rule for {opened.name}: its domain says none.")
    return Route(bundle=bundle, takes_volumes=opened.takes_volumes, rules=replace(rules, modalities=modalities))


def choose_route(routes: Sequence[Route], series: Sequence[SeriesInfo]) -> tuple[int | None, str]:
    """Choose among routes for the stacks of one series; the place of the first that takes one, and why none does."""
    reasons: dict[str, None] = {}
    for at, route in enumerate(routes):
        for info in series:
            reason = route.rules.why_left(info)
            if reason is None and route.takes_volumes and not info.is_taken:
                reason = info.reason  # no slices of a volume
            if reason is None:
                return at, ""
            reasons[reason] = None
    return None, "; ".join(list(reasons)[:3]) or "no image"
