# SPDX-License-Identifier: Apache-2.0
"""How every model card begins: for research alone, and what the bundle is."""

from __future__ import annotations

from collections.abc import Mapping

from monai_semigan.bundle.bundle import Bundle

__all__ = ["card_head"]


def card_head(packed: Bundle, facts: Mapping[str, str], *, before_table: str = "") -> list[str]:
    """Return the first lines of a bundle's ``docs/README.md``, Markdown.

    Args:
        packed: The bundle, already written.
        facts: Further rows of its table, by name: where the weights come from.
        before_table: A paragraph between the notice and the table.
    """
    rows = {
        "Version": packed.version,
        "Domain": packed.domain.name,
        "Classes": ", ".join(f"{index} {name}" for index, name in enumerate(packed.class_names)),
        "Network's input": f"{packed.network.image_size} x {packed.network.image_size} px",
        "Label": _label_sources(packed.network.direct_share),
        **facts,
        "Weights": f"`models/model.pt`, SHA-256 `{packed.weights_sha256}`",
        "Terms": packed.terms,
    }
    return [
        f"# {packed.name}",
        "",
        "**Research use only: not a medical device, not for diagnosis or treatment.**",
        "",
        *([before_table, ""] if before_table else []),
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
    ]


def _label_sources(direct_share: float) -> str:
    if not direct_share:
        return "the generator's"
    return f"the generator's, and {direct_share:.0%} of the direct route"
