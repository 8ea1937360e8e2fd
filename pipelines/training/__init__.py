"""Trains a network on one or more workers, resumably, and leaves a bundle."""
