# SPDX-License-Identifier: Apache-2.0
"""A PACS round trip: series in, results back, nothing lost that was acknowledged, and no identifier in a log.

`listener` and `orthanc` bring instances into one `store`; `serving` enters each series that is complete into the
manifest of a cohort, which `cohort.working` segments, and `delivery` sends the results to a `peer`, by C-STORE or
STOW-RS. `ledger` is the SQLite file that knows how far each series and each delivery is. `transfers` are the single
commands: find, pull and push. These need the extra ``pacs``; what is in it is imported when it is used. `module` does
one task as a container, without a network.
"""
