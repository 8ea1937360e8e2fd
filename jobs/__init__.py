"""Floor 3: what a person starts, as `python -m jobs.NAME`."""
