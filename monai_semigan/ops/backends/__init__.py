# SPDX-License-Identifier: Apache-2.0
"""Implementations of the ops: one module per backend, imported when it is first asked for.

A module registers itself with `monai_semigan.ops.backend.register_backend`; so does one outside this package.
"""

SHIPPED = {
    "reference": "monai_semigan.ops.backends.reference",
    "torch": "monai_semigan.ops.backends.torch",
    "triton": "monai_semigan.ops.backends.triton.backend",
    "stylegan": "monai_semigan.ops.backends.stylegan",
}
"""Modules of the backends that come with this package; nothing of them is imported to read this."""
