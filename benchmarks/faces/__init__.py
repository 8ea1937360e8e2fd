"""Faces in photographs: are they found, read as well as chips, and fast: `-m benchmarks.faces`."""
