"""Outputs of released versions, which later versions must load, verify and continue."""
