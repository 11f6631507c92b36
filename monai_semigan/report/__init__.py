# SPDX-License-Identifier: Apache-2.0
"""Results as JSON, pictures and self-contained HTML pages."""
