"""Tests of model/engines."""
