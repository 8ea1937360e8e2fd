"""What facemill survives: deaths at every write, hostile bytes, kills, faults of networks, crowds.

Each command writes its page of docs/robustness/; a part of each runs in `make test` or
`make test-slow`:

    python -m tests.robustness.crash_points   every job stopped at every write
    python -m tests.robustness.fuzz           hostile bytes for every reader
    python -m tests.robustness.chaos          drivers, workers and nodes killed in turn
    python -m tests.robustness.partitions     hosts cut off, without power, without disk
    python -m tests.robustness.many_at_once   jobs on one cluster, drivers on one output
"""
