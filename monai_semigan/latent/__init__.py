# SPDX-License-Identifier: Apache-2.0
"""The latent space: drawing styles, and finding the styles of a given image."""
