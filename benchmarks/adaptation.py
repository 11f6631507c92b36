# SPDX-License-Identifier: Apache-2.0
"""Adapt a bundle to a few labelled images that are drawn at random, several times, and score sets that it never saw.

    python -m benchmarks.adaptation lung_cxr_segmentation POOL.json --test LIST.json --sets kermany_v7 covid_v7 \
        --labels 1 5 --draws 5

Labelled images of POOL are drawn, a patient once; its unlabelled ones, if it has some, all take part unless
``--labelled-only`` is given. Each draw runs the whole of ``semigan adapt``, cross-validation included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import entries_of, score_set, segmenters
from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.errors import TrainingError
from monai_semigan.files import read_json
from monai_semigan.io.datalist import MAX_BYTES, load_datalist, owners
from monai_semigan.workflows.adapting import AdaptOptions, adapt


def drawn(pool: Path, count: int, seed: int, *, labelled_only: bool) -> dict[str, Any]:
    """Return a data list of so many labelled images of as many patients, drawn by seed."""
    content = read_json(pool, MAX_BYTES)
    names, chosen = owners(load_datalist(pool, warn=False).labelled), []
    for at in np.random.default_rng(seed).permutation(len(names)):
        if names[at] not in {names[other] for other in chosen}:
            chosen.append(int(at))
        if len(chosen) == count:
            break
    others = [] if labelled_only else content.get("unlabelled", [])
    root = (pool.parent / content.get("root", ".")).resolve()
    return content | {
        "root": str(root),
        "labelled": [content["labelled"][at] for at in chosen],
        "unlabelled": others,
        "validation": [],
        "test": {},
    }


def one_draw(arguments: argparse.Namespace, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Adapt to one draw, and score the sets."""
    listed = folder / "data.json"
    listed.write_text(json.dumps(drawn(arguments.pool, count, seed, labelled_only=arguments.labelled_only)))
    started, options = time.process_time(), AdaptOptions(device="cpu", seed=seed, overwrite=True)
    try:
        result = adapt(folder / "adapted", bundle=arguments.bundle, datalist=listed, options=options)
    except TrainingError as error:
        return {"refused": str(error)}
    seconds = time.process_time() - started
    data = load_datalist(arguments.test, warn=False)
    ((_, segmenter),) = segmenters(open_bundle(result.bundle), [0], "cpu")
    row = {
        name: score_set(entries_of(data, name), segmenter, binary=data.is_binary)["dice_per_image"]
        for name in arguments.sets
    }
    return row | {"steps": result.steps, "unlabelled": result.num_unlabelled, "cpu_seconds": seconds}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--labels", nargs="+", type=int, default=[1, 5])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--labelled-only", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table: dict[str, list[dict[str, Any]]] = {}
    for count in arguments.labels:
        rows = table[str(count)] = []
        for seed in range(arguments.draws):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(one_draw(arguments, count, seed, Path(folder)))
            print(count, seed, rows[-1], flush=True)
        for name in arguments.sets:
            values = [row[name] for row in rows if name in row]
            if values:
                print(f"{count} labels, {name}: mean {np.mean(values):.4f}, worst {min(values):.4f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
