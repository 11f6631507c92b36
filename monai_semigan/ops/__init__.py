# SPDX-License-Identifier: Apache-2.0
"""Primitives of StyleGAN2: FIR resampling, biased activation, modulated convolution, twice-differentiable warps.

Each op has one public function, a slow reference that reads like its definition, and a fast path tested against it.
Nothing here imports MONAI.
"""
