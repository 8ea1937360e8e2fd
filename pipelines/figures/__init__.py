"""Charts: what they hold, how they are drawn, and the figures that training and reports share."""
