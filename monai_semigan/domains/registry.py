# SPDX-License-Identifier: Apache-2.0
"""The domains by their names, as a bundle's metadata give them."""

from __future__ import annotations

from monai_semigan.domains.abdomen import ABDOMEN
from monai_semigan.domains.base import Domain
from monai_semigan.domains.chest_xray import CHEST_XRAY
from monai_semigan.domains.photographs import DERMOSCOPY, FACE
from monai_semigan.errors import ConfigError

__all__ = ["DOMAINS", "find_domain", "register_domain"]

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (CHEST_XRAY, DERMOSCOPY, FACE, ABDOMEN)}
"""Add to them with `register_domain`."""


def register_domain(domain: Domain) -> None:
    """Make a domain known, before a bundle of it is opened.

    Raises:
        ConfigError: Another one has its name.
    """
    if DOMAINS.setdefault(domain.name, domain) is not domain:
        raise ConfigError(f"`name` must be new, but a domain `{domain.name}` is registered.")


def find_domain(name: str) -> Domain:
    """Return the domain of a name.

    Raises:
        ConfigError: There is none.
    """
    if name not in DOMAINS:
        raise ConfigError(f"`domain` must be one of {', '.join(DOMAINS)}, got {name!r:.60}.")
    return DOMAINS[name]
