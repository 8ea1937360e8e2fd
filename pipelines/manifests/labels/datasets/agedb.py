"""AgeDB (Moschoglou 2017): `0_MariaCallas_35_f.jpg` is number, name, age and m or f."""

from pipelines.manifests.labels.datasets.kinds import InNames, end_of_path

DATASET = InNames(
    "AgeDB",
    "0_MariaCallas_35_f.jpg (number, name, age, m or f)",
    end_of_path(r"\d+_[^/#]+_(?P<age>\d{1,3})_(?P<gender>[mf])\.jpe?g"),
)
