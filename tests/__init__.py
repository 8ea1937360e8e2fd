"""The suite: mirrors model/, pipelines/ and jobs/, one test module per module."""
