# SPDX-License-Identifier: Apache-2.0
"""Time and peak memory of segmenting a drawn CT from the command line with the liver bundle, by number of slices.

python -m benchmarks.volume_speed --slices 50 200 --size 512 --steps 0
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from monai_semigan.extras.phantoms.abdomen import abdomen_grid, draw_abdomen
from monai_semigan.extras.phantoms.series import write_phantom_series


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", nargs="+", type=int, default=[50, 200])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for slices in arguments.slices:
            drawn = draw_abdomen(abdomen_grid((arguments.size, arguments.size, slices)))
            write_phantom_series(folder / f"ct{slices}", drawn.voxels_ct, drawn.grid, modality="CT")
            del drawn
            started = time.perf_counter()
            command = [sys.executable, "-m", "monai_semigan.cli.main", "segment", str(folder / f"ct{slices}")]
            options = [
                "-b",
                "liver_ct_segmentation",
                "-o",
                str(folder / f"out{slices}"),
                "--steps",
                str(arguments.steps),
            ]
            subprocess.run([*command, *options], check=True, cwd=folder)
            seconds = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # of the largest child so far
            print(f"{arguments.size} x {arguments.size} x {slices}: {seconds:.1f} s, peak {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
