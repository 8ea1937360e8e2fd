"""What is to be learned or scored: ingest, splits, label files, sources of inputs."""
