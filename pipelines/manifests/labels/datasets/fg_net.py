"""FG-NET: `001A43a.JPG` is person 1 at 43, a letter for each more picture of a year; no gender."""

from pipelines.manifests.labels.datasets.kinds import InNames, end_of_path

# Three digits of the person: All-Age-Faces has five.
DATASET = InNames(
    "FG-NET",
    "001A02.JPG (person, A, age)",
    end_of_path(r"\d{3}A(?P<age>\d{2,3})[a-z]?\.jpe?g"),
)
