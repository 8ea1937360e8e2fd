"""Reads labels: one file for each data set's convention."""
