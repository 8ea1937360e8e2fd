"""Finds the faces of an image and aligns each for the network, in training as in scoring."""
