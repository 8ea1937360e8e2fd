"""Turns predictions into a report, and a bundle into its model card."""
