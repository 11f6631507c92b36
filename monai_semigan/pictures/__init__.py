# SPDX-License-Identifier: Apache-2.0
"""Pictures of results: labels on images, montages of slices, plots."""
