"""Scores every input exactly once on a pool of workers, and measures labelled splits."""
