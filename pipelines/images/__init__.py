"""Decoding in bulk: guarded decoders, decode tasks, the pixel cache."""
