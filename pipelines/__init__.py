"""Floor 2: moves data through Ray Train, Ray Data, Arrow and object storage."""
