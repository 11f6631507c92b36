# SPDX-License-Identifier: Apache-2.0
"""The command line: click to workflow to exit code. The only package that prints."""

if __name__ != "monai_semigan.cli":
    raise ImportError("This folder is installed as `monai_semigan.cli`: import it under that name.")
