"""Defines what a scoring run leaves, file by file, and proves that it is whole."""
