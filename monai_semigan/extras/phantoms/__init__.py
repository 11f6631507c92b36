# SPDX-License-Identifier: Apache-2.0
"""Drawn anatomy: volumes for tests, for the documentation and for trying a training without any patient's data.

No file is read or written here. `abdomen` renders, `anatomy` lists what lies where, `shapes` are the solids that it is
made of.
"""
