"""Tests of pipelines/predictions/."""
