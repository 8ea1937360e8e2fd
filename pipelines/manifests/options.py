"""The options of an ingest, declared once."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal

from model.errors import UsageError
from pipelines import storage
from pipelines.images.face_options import FaceLimits
from pipelines.manifests.labels.datasets import Name as DatasetName

if TYPE_CHECKING:  # pandas, which a help text shall not wait for
    from pipelines.manifests.splits import SplitRule


@dataclasses.dataclass(frozen=True)
class IngestOptions:
    """What to ingest and how."""

    images: Annotated[str, "URI"]
    """Folder or prefix (s3://, gs://, az://) of images, of archives of images (.tar, .tar.gz, .zip)
    or of Parquet files with a column of images; or one of these files; or a .txt, .csv or .parquet
    that lists images by uri (https:// too)."""
    output: Annotated[str, "URI"] = ""
    """Folder or prefix (s3://, gs://, az://) for the manifest."""
    labels: str = "auto"
    """auto (UTKFace names if most files have them, else what lies beside at least half of them,
    else as a data set has it that is unmistakable), utkface, beside (columns age, gender, race of
    Parquet with images; .json, .txt or .cls of the same name, as WebDataset has them), none, or a
    .csv, .tsv, .txt or .parquet with columns path, age (years or ranges such as 50-59), gender
    (words; codes need `gender_codes`) and optionally race."""
    labels_as: DatasetName | None = None
    """Read labels as this data set's publishers write them: in the names of the pictures (afad,
    agedb, cacd, fg-net, morph), or in files, which lie among the pictures or at `labels` (a file,
    or the folder of several). See docs/datasets.md."""
    gender_codes: Annotated[str | None, "CODE=GENDER,..."] = None
    """What codes in the labels file's gender column mean, such as 0=male,1=female (as UTKFace has
    it) or 0=female,1=male (as IMDB-WIKI has it)."""
    hash: Literal["content", "etag"] = "content"
    """content reads every byte and finds duplicates; etag reads none."""
    split: Annotated[str, "TRAIN,VAL,TEST"] = "0.6,0.2,0.2"
    """Shares of train, val and test; an image's content decides which of them it falls into."""
    split_seed: int = 0
    """Random seed of the splits; another one gives other splits."""
    split_column: str | None = None
    """Column of the labels file that already says train, val or test; split: the parts in which
    adience, appa-real, fairface are published."""
    faces: Literal["whole", "find", "both"] = "whole"
    """whole: each picture as it is; find: the labelled face of each picture, aligned (the one that
    a box in the labels file names, else the largest, if it is at least twice as large as the
    next); both: a row for each, where the picture shows one person."""
    finding: FaceLimits = dataclasses.field(default_factory=FaceLimits)

    @property
    def place(self) -> str:
        """The normalized URI of the images."""
        return storage.normalize(self.images)

    @property
    def rule(self) -> "SplitRule":
        """How images fall into splits.

        Raises:
            UsageError: the shares are none.
        """
        from pipelines.manifests.splits import SplitRule

        try:
            train, val, test = (float(part) for part in self.split.split(","))
        except ValueError:
            raise UsageError(
                f"`split` {self.split}: give three shares such as 0.6,0.2,0.2"
            ) from None
        return SplitRule((train, val, test), self.split_seed)

    @property
    def codes(self) -> dict[str, str]:
        """What codes of gender mean.

        Raises:
            UsageError: `gender_codes` does not say so.
        """
        from pipelines.manifests.labels.names import parse_codes

        return parse_codes(self.gender_codes) if self.gender_codes is not None else {}

    def identity(self) -> dict[str, Any]:
        """All that decides the manifest, as manifest.json holds it."""
        return {
            "images": self.place,
            "labels": self.labels,
            "hash": self.hash,
            "split": dataclasses.asdict(self.rule),
            "split_column": self.split_column,
            **self._finding(),
            **({"gender_codes": self.codes} if self.gender_codes is not None else {}),
            **({"labels_as": self.labels_as} if self.labels_as is not None else {}),
        }

    def _finding(self) -> dict[str, Any]:
        if self.faces == "whole":  # as before there were others
            return {}
        return {"faces": self.faces, "finding": {**dataclasses.asdict(self.finding)}}
