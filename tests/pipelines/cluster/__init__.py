"""Tests of pipelines/cluster/."""
