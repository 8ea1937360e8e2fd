"""Training: options, the worker, its replica and feed, checkpoints, trackers, the run."""
