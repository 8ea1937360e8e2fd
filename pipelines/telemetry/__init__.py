"""Shows people and log stores what a run does: progress, notes, a line for each phase."""
