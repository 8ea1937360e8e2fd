"""Tests of pipelines/telemetry/."""
