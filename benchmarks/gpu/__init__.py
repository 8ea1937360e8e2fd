"""The shipped network's training on one GPU, by Keras on JAX: see `benchmarks/gpu/train.py`."""
