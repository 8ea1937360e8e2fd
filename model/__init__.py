"""Floor 1: what the network expects and emits. No Ray, no object store, no argv."""
