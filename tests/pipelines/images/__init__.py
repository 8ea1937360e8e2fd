"""Tests of pipelines/images/."""
