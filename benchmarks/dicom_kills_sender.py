# SPDX-License-Identifier: Apache-2.0
"""Sends slices until the listener is gone, and prints each UID when it was acknowledged: see `dicom_kills`."""

from __future__ import annotations

import sys

from benchmarks.dicom_peers import associated, ct_slice, status_of


def main() -> None:
    """Send to the port given first, a series named by the second argument."""
    association = associated(int(sys.argv[1]))
    association.dimse_timeout = 2
    print(flush=True)
    for number in range(100_000):
        made = ct_slice(sys.argv[2], number)
        try:
            if not association.is_established or status_of(association.send_c_store(made)) != 0:
                break
        except (RuntimeError, ValueError, AttributeError):
            break
        print(made.SOPInstanceUID, flush=True)
    association.abort()


if __name__ == "__main__":
    main()
