"""What people and machines see of a run: progress, log lines, phases."""
