# SPDX-License-Identifier: Apache-2.0
"""DICOM in: headers, series, stacks, pixels."""
