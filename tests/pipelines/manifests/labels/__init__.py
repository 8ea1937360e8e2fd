"""Tests of pipelines/manifests/labels/."""
