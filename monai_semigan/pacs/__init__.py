# SPDX-License-Identifier: Apache-2.0
"""The hospital's side: series in, results back."""
