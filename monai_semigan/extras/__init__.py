# SPDX-License-Identifier: Apache-2.0
"""Beside the main path: public data sets, drawn phantoms, weights trained elsewhere."""
