"""What runs in Triton's interpreter must see it on before Triton is imported: `test_interpreter.py` starts it so."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]
