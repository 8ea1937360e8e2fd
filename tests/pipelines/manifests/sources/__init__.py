"""Tests of pipelines/manifests/sources/."""
