"""Tests of pipelines/bundles/."""
