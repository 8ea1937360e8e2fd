"""Finds the faces of a picture and aligns each for the network, in training as in scoring."""
