# SPDX-License-Identifier: Apache-2.0
"""A bundle's networks applied to prepared images."""
