# SPDX-License-Identifier: Apache-2.0
"""Takes results as an archive does, and appends study and instance of each to a file: see `serve_kills`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import SegmentationStorage  # type: ignore[attr-defined]

__all__ = ["main"]


def main() -> None:
    """Listen on the port given first, write to the file given second, until killed."""
    with Path(sys.argv[2]).open("a") as stream:

        def keep(event: Any) -> int:
            made = event.dataset
            stream.write(f"{made.StudyInstanceUID} {made.SOPInstanceUID}\n")
            stream.flush()
            return 0

        entity = AE(ae_title="ARCHIVE")
        entity.add_supported_context(SegmentationStorage)
        entity.start_server(("127.0.0.1", int(sys.argv[1])), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
