"""Tests of model/backends."""
