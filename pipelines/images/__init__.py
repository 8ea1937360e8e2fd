"""Decodes images in bulk: in guarded processes, as Ray tasks, into a cache of pixels."""
