# SPDX-License-Identifier: Apache-2.0
"""Time and peak memory of segmenting a drawn CT from the command line, encoder alone, by number of slices.

    python -m benchmarks.volume_speed --slices 50 200 --size 512

The network has random weights of the shipped size: neither speed nor memory depends on them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from monai_semigan.bundles import bundle_root
from monai_semigan.io.phantom_series import write_phantom_series
from monai_semigan.networks.checkpoint import file_digest, to_half
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.phantoms.abdomen import abdomen_grid, draw_abdomen


def random_bundle(root: Path) -> Path:
    """Write a bundle for volumes with random weights."""
    shutil.copytree(bundle_root("lung_cxr_segmentation") / "configs", root / "configs")
    path = root / "configs" / "metadata.json"
    metadata = json.loads(path.read_text())
    block = metadata["semigan"]
    network = SemiGanSegmenter(**block["network"])
    network.is_trained.fill_(1)
    (root / "models").mkdir()
    torch.save(to_half(network), root / "models" / "model.pt")
    block |= {
        "domain": "abdomen",
        "preprocessing": {"CT": {"image_size": block["network"]["image_size"]}},
        "inversion": {"CT": {"steps": 0}},
        "components": {},
        "weights": {"file": "models/model.pt", "sha256": file_digest(root / "models" / "model.pt")},
    }
    path.write_text(json.dumps(metadata))
    return root


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", nargs="+", type=int, default=[50, 200])
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = random_bundle(folder / "bundle")
        for slices in arguments.slices:
            drawn = draw_abdomen(abdomen_grid((arguments.size, arguments.size, slices)))
            write_phantom_series(folder / f"ct{slices}", drawn.voxels_ct, drawn.grid, modality="CT")
            del drawn
            started = time.perf_counter()
            command = [sys.executable, "-m", "monai_semigan.cli.main", "segment", str(folder / f"ct{slices}")]
            subprocess.run([*command, "-b", str(bundle), "-o", str(folder / f"out{slices}")], check=True, cwd=folder)
            seconds = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child so far
            print(f"{arguments.size} x {arguments.size} x {slices}: {seconds:.1f} s, peak {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
