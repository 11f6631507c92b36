# SPDX-License-Identifier: Apache-2.0
"""Bundles as data: their one description, what must not be trusted in one, and their doors to MONAI's runner."""
