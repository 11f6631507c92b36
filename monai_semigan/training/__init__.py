# SPDX-License-Identifier: Apache-2.0
"""The two trainings: the joint GAN, then the encoder. One step per file; both share one loop."""
