# SPDX-License-Identifier: Apache-2.0
"""What this package's method is compared with: other ways to learn from few labels, in one small frame.

`frame` has the loop, the augmentation and the choice of the checkpoint that all share; each method is one file with its
settings and its step. `methods` builds them by name.
"""
