# SPDX-License-Identifier: Apache-2.0
"""How good label maps are: overlap, surface distances, and their summary per patient."""
