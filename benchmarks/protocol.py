# SPDX-License-Identifier: Apache-2.0
"""Turn a folder with ``metadata.csv`` and ``protocol.csv`` into a data list.

    python -m benchmarks.protocol FOLDER OUT.json --labels 175

``protocol.csv`` gives every image a role (train, unlabelled, val, test_in, test_ood) and training images a
``label_rank``, of the image or its patient; images of rank at most ``--labels`` are labelled. All training images are
in the unlabelled stream too.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

UNKNOWN_PATIENT = "unknown"


def build(folder: Path, *, labels: int, exclude: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the data list as JSON types."""
    with (folder / "metadata.csv").open(newline="") as stream:
        metadata = {(row.get("source", ""), row["id"]): row for row in csv.DictReader(stream)}
    content: dict[str, Any] = {
        "schema": "semigan-datalist-1",
        "root": str(folder.resolve()),
        "label_values": "binary",
        "labelled": [],
        "unlabelled": [],
        "validation": [],
        "test": {},
    }
    with (folder / "protocol.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            source = row.get("source", "")
            if source in exclude:
                continue
            entry = _entry(metadata[source, row["id"]])
            image_only = {key: value for key, value in entry.items() if key in ("image", "patient_id")}
            match row["role"]:
                case "train":
                    content["unlabelled"].append(image_only)
                    if int(row["label_rank"]) <= labels:
                        content["labelled"].append(entry)
                case "unlabelled":
                    content["unlabelled"].append(image_only)
                case "val":
                    content["validation"].append(entry)
                case "test_in":
                    content["test"].setdefault("test_in", []).append(entry)
                case "test_ood":
                    content["test"].setdefault(source, []).append(entry)
    return content


def _entry(row: dict[str, str]) -> dict[str, str]:
    entry = {"image": row["image"], "label": row["mask"], "ignore": row.get("ignore", "")}
    if row["patient_id"] != UNKNOWN_PATIENT:
        entry["patient_id"] = row["patient_id"]
    return {key: value for key, value in entry.items() if value}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--labels", type=int, required=True)
    parser.add_argument("--exclude-source", action="append", default=[])
    arguments = parser.parse_args()
    content = build(arguments.folder, labels=arguments.labels, exclude=frozenset(arguments.exclude_source))
    arguments.output.write_text(json.dumps(content, indent=1) + "\n")
    print({key: len(value) for key, value in content.items() if isinstance(value, (list, dict))})


if __name__ == "__main__":
    main()
