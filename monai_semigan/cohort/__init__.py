# SPDX-License-Identifier: Apache-2.0
"""Thousands of cases, on one machine or many: every result once, whatever is lost on the way.

`manifest` keeps one row per case in a SQLite file, from which any number of processes take their work; `inputs` finds
what the rows are of, `bids` in a BIDS dataset; `working` segments rows as `workflows.segmenting` does; `engines` say
which process does which, `dask_engine` with Dask's workers, which `clusters` starts or finds and `dask_worker` runs in;
`reporting` writes the report over all, `derivatives` the label maps under BIDS names; `running` is the one call that
does all of it.
"""
