# SPDX-License-Identifier: Apache-2.0
"""Weights trained with other implementations of StyleGAN2, under the keys of the networks here.

One module per layout says which of its keys is which of ours; sizes are read off the tensors. `transfer` moves them and
accounts for every key: what is missing, unknown or of another shape is named. Written from lists of keys and shapes.
"""
