# SPDX-License-Identifier: Apache-2.0
"""Voxel grids: where a volume's voxels lie in the patient. No file format and no image value is known here."""
