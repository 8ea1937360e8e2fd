"""Draws faces and finds a portrait in the public domain, for the demo and the tests."""
