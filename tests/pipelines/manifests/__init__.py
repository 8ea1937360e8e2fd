"""Tests of pipelines/manifests/."""
