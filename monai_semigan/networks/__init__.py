# SPDX-License-Identifier: Apache-2.0
"""Generator with image and label heads, the two discriminators, the encoder, and their weight files.

Nothing here imports MONAI: the networks can be used alone.
"""
