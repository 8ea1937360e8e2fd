"""Where inputs come from: one file a kind of source."""
