"""Every job stopped at every write, in every way, and started again: what is left must be equal.

`python -m tests.crash_points --help`; tests/test_crash_points.py runs a part of it in each suite,
`python -m benchmarks.crash_points` all of it. One process imports everything once and forks a child
a case, so that a case costs milliseconds: no Ray, no TensorFlow. The store is what is tested.
"""
