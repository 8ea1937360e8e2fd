"""How other data sets say their labels: one file a data set, whose name is the choice's."""

import importlib
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:  # pandas, which a help text shall not wait for
    from pipelines.manifests.labels.datasets.kinds import InFiles, InNames

Name = Literal[
    "adience", "afad", "agedb", "appa-real", "appa-real-apparent", "cacd", "fairface", "fg-net",
    "imdb-wiki", "lagenda", "morph",
]  # fmt: skip
NAMES: tuple[Name, ...] = get_args(Name)


def convention(name: Name) -> "InFiles | InNames":
    """How a data set says its labels: `DATASET` of the file that is called like it."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return module.DATASET
