"""Draws the charts that training runs and reports share."""
