"""Tests of pipelines/scoring/."""
