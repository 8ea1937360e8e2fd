"""Floor 2: how data moves: Ray Train, Ray Data, Arrow, object storage."""
