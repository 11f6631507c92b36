# SPDX-License-Identifier: Apache-2.0
"""What differs between kinds of images: from a source's pixels to the network's input, one module per domain."""
