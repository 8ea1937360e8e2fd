"""APPA-REAL's apparent ages: the mean of what some 38 people guessed of each picture."""

import dataclasses
from collections.abc import Collection

import pandas as pd

from pipelines.manifests.labels.datasets import appa_real
from pipelines.manifests.labels.datasets.kinds import LabelFile
from pipelines.manifests.labels.telling import Told


def _read(file: LabelFile, uris: Collection[str]) -> tuple[pd.DataFrame, Told]:
    return appa_real.read_ages(file, uris, "apparent_age_avg")


DATASET = dataclasses.replace(appa_real.DATASET, read=_read)
