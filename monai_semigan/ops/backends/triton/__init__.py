# SPDX-License-Identifier: Apache-2.0
"""CUDA-device kernels of the ops, written in Triton; imported, and compiled, on first use.

One kernel (`kernels.resample_and_finish`) does all the work: it resamples through an FIR filter and finishes the result
with demodulation, noise, bias and activation while it is still in registers. The ops are made of it and differ in
which of the parts they use. Their arguments are positional and were checked by the public op of the same name.
"""
