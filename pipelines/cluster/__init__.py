"""Talks to Ray: starts it, asks it for resources, words its errors, holds its private calls."""
