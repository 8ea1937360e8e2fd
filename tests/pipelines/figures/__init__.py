"""Tests of pipelines/figures/."""
