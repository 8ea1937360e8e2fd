"""MORPH (Ricanek 2006): `009055_1M54.JPG` is person, number of the picture, M or F, and age."""

from pipelines.manifests.labels.datasets.kinds import InNames, end_of_path

DATASET = InNames(
    "MORPH",
    "009055_1M54.JPG (person, number, M or F, age)",
    end_of_path(r"\d{4,}_\d{1,3}(?P<gender>[MF])(?P<age>\d{2,3})\.jpe?g"),
)
