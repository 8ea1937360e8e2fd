"""AFAD and AFAD-Lite (Niu 2016): `18/111/1-0.jpg`: folder of the age, 111 male or 112 female."""

from pipelines.manifests.labels.datasets.kinds import InNames, end_of_path

DATASET = InNames(
    "AFAD",
    "18/111/1-0.jpg (age, 111 for male or 112 for female, file)",
    end_of_path(r"(?P<age>\d{1,3})/(?P<gender>11[12])/[^/#]+"),
    {"111": "male", "112": "female"},
)
