# SPDX-License-Identifier: Apache-2.0
"""How close the Triton kernels come to a GPU's copy bandwidth: ``python -m benchmarks.gpu_ops [--json FILE]``.

256 pixels, 64 channels, batch 32, bfloat16, channels_last: the last block of StyleGAN2 at that size. Bytes are those
that must be moved once, input and output; a kernel that reads its input twice shows as a smaller rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_semigan.ops.backends.triton.availability import obstacle
from monai_semigan.ops.backends.triton.bias_act import bias_act
from monai_semigan.ops.backends.triton.styled_epilogue import styled_epilogue
from monai_semigan.ops.backends.triton.upfirdn2d import upfirdn2d
from monai_semigan.ops.bias_act import ACTIVATION_GAIN, LEAKY_SLOPE
from monai_semigan.ops.bias_act import bias_act as public_bias_act
from monai_semigan.ops.fir import downsample_padding, normalized_taps, upsample_padding
from monai_semigan.ops.upfirdn2d import upfirdn2d as public_upfirdn2d

SIZE, CHANNELS, BATCH = 256, 64, 32
WARM_UP, REPEATS = 10, 50
FILLER_BYTES = 2 * 2**30
"""Some hundred microseconds of writing."""
ACTIVATION = (LEAKY_SLOPE, ACTIVATION_GAIN)

Case = tuple[Callable[[], Tensor], Callable[[], Tensor], list[Tensor]]
"""What Triton runs, what PyTorch runs for it, and what both read."""


def cases(device: torch.device, *, size: int = SIZE, channels: int = CHANNELS, batch: int = BATCH) -> dict[str, Case]:
    """Build the operands of every measured op."""
    rng = torch.Generator(device).manual_seed(0)

    def maps(side: int) -> Tensor:
        x = torch.randn(batch, channels, side, side, generator=rng, device=device).to(torch.bfloat16)
        return x.contiguous(memory_format=torch.channels_last)

    x, half, blurred = maps(size), maps(size // 2), maps(size + 1)
    bias = torch.randn(channels, generator=rng, device=device)
    demodulation = torch.rand(batch, channels, generator=rng, device=device)
    noise = torch.randn(batch, 1, size, size, generator=rng, device=device)
    taps = normalized_taps().to(device)
    up, down = upsample_padding(4), downsample_padding(4)

    def epilogue(y: Tensor) -> Tensor:
        y = y * demodulation.to(y.dtype)[:, :, None, None] + noise.to(y.dtype)
        return public_bias_act(y, bias, backend="torch")

    def blur(y: Tensor, **settings: Any) -> Tensor:
        return public_upfirdn2d(y, taps, **settings, backend="torch")

    return {
        "epilogue with blur": (
            lambda: styled_epilogue(blurred, demodulation, noise, bias, taps, *ACTIVATION),
            lambda: epilogue(blur(blurred, padding=(1, 1), gain=4.0)),
            [blurred, noise],
        ),
        "epilogue": (
            lambda: styled_epilogue(x, demodulation, noise, bias, None, *ACTIVATION),
            lambda: epilogue(x),
            [x, noise],
        ),
        "bias_act": (
            lambda: bias_act(x, bias, *ACTIVATION),
            lambda: public_bias_act(x, bias, backend="torch"),
            [x],
        ),
        "upfirdn2d blur": (
            lambda: upfirdn2d(x, taps, 1, 1, (2, 1), 1.0),
            lambda: blur(x, padding=(2, 1)),
            [x],
        ),
        "upfirdn2d up 2": (
            lambda: upfirdn2d(half, taps, 2, 1, up, 4.0),
            lambda: blur(half, up=2, padding=up, gain=4.0),
            [half],
        ),
        "upfirdn2d down 2": (
            lambda: upfirdn2d(x, taps, 1, 2, down, 1.0),
            lambda: blur(x, down=2, padding=down),
            [x],
        ),
    }


def seconds_of(run: Callable[[], object]) -> float:
    """Median seconds on the device, of the kernels alone.

    Before each run the device is kept busy for longer than Python takes to launch it: what is timed then waits in the
    queue already. That also clears the cache.
    """
    filler = torch.empty(FILLER_BYTES, dtype=torch.uint8, device="cuda")
    for _ in range(WARM_UP):
        run()
    events = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        filler.zero_()
        start.record()
        run()
        end.record()
        events.append((start, end))
    torch.cuda.synchronize()
    return statistics.median(1e-3 * start.elapsed_time(end) for start, end in events)


def measure(device: torch.device) -> dict[str, Any]:
    """Measure the copy bandwidth, then every op; check each against PyTorch's result first."""
    source = torch.zeros(BATCH, CHANNELS, SIZE, SIZE, dtype=torch.bfloat16, device=device)
    target = torch.empty_like(source)
    copy = 2e-9 * source.nbytes / seconds_of(lambda: target.copy_(source))
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "shape": [BATCH, CHANNELS, SIZE, SIZE],
        "copy_gb_per_s": copy,
        "ops": {},
    }
    for name, (ours, theirs, reads) in cases(device).items():
        y = ours()
        torch.testing.assert_close(y.float(), theirs().float(), rtol=0.05, atol=0.05)
        gigabytes = 1e-9 * (y.nbytes + sum(tensor.nbytes for tensor in reads))
        seconds, torch_seconds = seconds_of(ours), seconds_of(theirs)
        result["ops"][name] = {
            "gb_per_s": gigabytes / seconds,
            "percent_of_copy": 100 * gigabytes / seconds / copy,
            "times_torch": torch_seconds / seconds,
            "ms": 1e3 * seconds,
            "torch_ms": 1e3 * torch_seconds,
        }
    return result


def text_of(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    lines = [f"{result['device']}, torch {result['torch']}, {result['shape']}, copy {result['copy_gb_per_s']:.0f} GB/s"]
    for name, row in result["ops"].items():
        lines.append(
            f"{name:<20}{row['ms']:8.3f} ms{row['gb_per_s']:8.0f} GB/s{row['percent_of_copy']:6.0f} % of copy"
            f"{row['times_torch']:7.1f} x torch ({row['torch_ms']:.3f} ms)"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure on the first CUDA device, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    device = torch.device("cuda")
    reason = obstacle(device)
    if reason is not None:
        raise SystemExit(f"The GPU ops were not measured: {reason}.")
    result = measure(device)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    print(text_of(result))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
