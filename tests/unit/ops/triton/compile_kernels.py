"""Compile the kernel ahead of time, for devices that need not be there; run by `test_compilation.py`."""

from __future__ import annotations

import sys

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from monai_semigan.ops.backends.triton.kernels import resample_and_finish
from monai_semigan.ops.backends.triton.launch import Resampling, tile_of

POINTERS = ("x", "y", "taps", "demodulation", "noise", "bias", "gate")
EPILOGUE = ("demodulation", "noise", "bias")

# Name: dtype, (taps, up, down, before), channels inner, pointers beside x and y, 64-bit indices.
VARIANTS = {
    "epilogue with blur": ("bf16", (4, 1, 1, 1), True, ("taps", *EPILOGUE), False),
    "gradient of the blur": ("bf16", (4, 1, 1, 2), True, ("taps",), False),
    "epilogue without blur": ("fp16", (0, 1, 1, 0), True, EPILOGUE, False),
    "gradient of the activation": ("bf16", (0, 1, 1, 0), False, ("gate",), False),
    "upsampling, 64-bit indices": ("fp32", (4, 2, 1, 2), True, ("taps",), True),
    "downsampling": ("fp16", (4, 1, 2, 1), False, ("taps",), False),
    "a long filter, float64": ("fp64", (12, 2, 3, -1), True, ("taps",), False),
}


def compile_variant(name: str, capability: int) -> None:
    dtype, (num_taps, up, down, before), planes_are_inner, pointers, wide = VARIANTS[name]
    total = "fp64" if dtype == "fp64" else "fp32"
    taps = torch.ones(num_taps) if num_taps else None
    tile = tile_of(Resampling(taps, up, down, before), 64, (256, 256), planes_are_inner=planes_are_inner)
    constants = tile | {
        "SLOPE": 1.0 if pointers == ("taps",) else 0.2,
        "GAIN": 1.5,
        "WIDE": wide,
        "ACC": getattr(tl, {"fp32": "float32", "fp64": "float64"}[total]),
    }
    inner = ("x_c", "y_c") if planes_are_inner else ("x_w", "y_w")
    constants |= dict.fromkeys(inner, 1) | {pointer: None for pointer in POINTERS[2:] if pointer not in pointers}
    signature, attributes = {}, {}
    for at, parameter in enumerate(resample_and_finish.arg_names):
        if parameter in constants:
            signature[parameter] = "constexpr"
        elif parameter in POINTERS:
            signature[parameter] = f"*{dtype if parameter in ('x', 'y', 'gate') else total}"
            attributes[at,] = [["tt.divisibility", 16]]
        else:
            signature[parameter] = "i64" if wide else "i32"
    source = ASTSource(resample_and_finish, signature, constants, attributes)
    options = {"num_warps": 4, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    assert f"sm_{capability}" in compiled.asm["ptx"] and len(compiled.asm["cubin"]) > 0
    sys.stdout.write(f"sm_{capability}: {name}\n")


if __name__ == "__main__":
    for variant in VARIANTS:
        compile_variant(variant, int(sys.argv[1]))
