"""CACD (Chen 2014): `14_Aaron_Johnson_0001.jpg` is age, name and number; no gender.

Other collections are called so too, with another number in front: only where it is asked for.
"""

from pipelines.manifests.labels.datasets.kinds import InNames, end_of_path

DATASET = InNames(
    "CACD",
    "14_Aaron_Johnson_0001.jpg (age, name, number)",
    end_of_path(r"(?P<age>\d{1,3})_[^/#]+_\d{4}\.jpe?g"),
    certain=False,
)
