# SPDX-License-Identifier: Apache-2.0
"""From prepared slices to a label: encoder, inversion, what is kept of it, and how far to trust it."""
