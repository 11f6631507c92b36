# SPDX-License-Identifier: Apache-2.0
"""Image, label and data-list files. A file format is known only inside this package."""
