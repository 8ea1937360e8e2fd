"""Scoring: options, claim, increments, the worker, placement, the run, evaluation."""
