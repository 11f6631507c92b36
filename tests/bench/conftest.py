# SPDX-License-Identifier: Apache-2.0
"""Lets the tests import the benchmarks, which are no part of the package.

At the end of the path: the installed package goes before the checkout's folder of the same name.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
