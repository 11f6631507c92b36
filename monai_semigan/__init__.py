# SPDX-License-Identifier: Apache-2.0
"""Semi-supervised medical image segmentation with a joint image-and-label StyleGAN2, as a MONAI plugin.

The Python API is `monai_semigan.workflows`, one function per task; the command line is ``semigan``.
"""

__version__ = "0.1.0"
