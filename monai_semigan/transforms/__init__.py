# SPDX-License-Identifier: Apache-2.0
"""From an image file's pixels to the network's square, and exactly back.

The arithmetic is in plain functions and dataclasses over NumPy arrays; the MONAI transform classes wrap them.
"""
