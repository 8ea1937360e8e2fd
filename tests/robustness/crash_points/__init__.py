"""Every job stopped at every write, in every way, and started again: what is left must be equal.

`python -m tests.robustness.crash_points --help`; test_crash_points.py runs a part of it in each
suite. One process imports everything once and forks a child a case, so that a case costs
milliseconds: no Ray, no TensorFlow. The store is what is tested.
"""
