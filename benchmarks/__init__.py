"""Measurements behind the numbers in comments and docs; each module prints Markdown."""
