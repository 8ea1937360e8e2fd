"""Tests of pipelines/storage/."""
