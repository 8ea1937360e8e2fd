"""Tests of pipelines/reporting/."""
