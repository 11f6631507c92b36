# SPDX-License-Identifier: Apache-2.0
"""Results as files: DICOM SEG, previews and the codes that they use."""
