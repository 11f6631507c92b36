# SPDX-License-Identifier: Apache-2.0
"""Loss terms: pure functions, one per term, unweighted, per sample. Weights and intervals meet in `training`."""
