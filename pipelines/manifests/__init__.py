"""Lists what is to be trained on or scored: images with labels, splits and duplicates."""
