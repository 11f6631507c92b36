# SPDX-License-Identifier: Apache-2.0
"""What pages would fetch from a network when a browser opens them; links, which wait for a reader, are none."""

from __future__ import annotations

import re
from pathlib import Path

ADDRESS = r"((?:https?:)?//[^\s\"'<>();`]+)"
TAG = (
    r"<(?:script|img|iframe|source|video|audio|embed|object|link)\b[^>]*?\s(?:src|srcset|href|data|poster)\s*=\s*[\"']?"
)
STYLE = rf"(?:@import\s+|url\()\s*[\"']?{ADDRESS}"
PATTERNS = {
    ".html": rf"{TAG}{ADDRESS}|{STYLE}",
    ".css": STYLE,
    ".js": rf"(?:\b(?:fetch|import|importScripts|open)\s*\(|\b(?:src|href)\s*[=:]|\bfrom)\s*[\"'`]{ADDRESS}",
    ".svg": rf"<(?:image|use|script)\b[^>]*?\bhref\s*=\s*[\"']{ADDRESS}|{STYLE}",
}


def fetched(site: Path) -> list[str]:
    """Return ``page: address`` for all that pages, styles, scripts and drawings below `site` take from elsewhere."""
    return [
        f"{path.relative_to(site)}: {''.join(groups)}"
        for path in sorted(site.rglob("*"))
        if path.suffix in PATTERNS
        for groups in re.findall(PATTERNS[path.suffix], path.read_text(errors="replace"), re.IGNORECASE)
    ]
