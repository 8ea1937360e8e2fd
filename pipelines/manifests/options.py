"""The options of an ingest, declared once."""

import dataclasses
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from model.errors import UsageError
from pipelines import storage
from pipelines.configuration import ADVANCED, Renamed
from pipelines.images.face_options import FaceLimits
from pipelines.manifests.labels.datasets import Name as DatasetName
from pipelines.storage.exclusion import Exclusion

if TYPE_CHECKING:  # pandas, which a help text shall not wait for
    from pipelines.manifests.splits import SplitRule


# `table` is a CSV file or its kin, or Parquet; the last are data sets, as their publishers label.
LabelFormat = Literal["auto", "none", "utkface", "sidecar", "table"] | DatasetName
# Names of the version before; `labels` named a file or one of these formats.
LABELS_RENAMED = (
    Renamed(
        ("labels",), "label_format",
        lambda labels: "sidecar" if labels == "beside" else labels,
        only=frozenset({"auto", "none", "utkface", "beside"}),
    ),
    Renamed(("labels_as",), "label_format"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class IngestOptions:
    """What to ingest and how."""

    RENAMED: ClassVar = (
        *LABELS_RENAMED,
        Renamed(("split_column",), "split"),
        Renamed(("split_seed",), "seed"),
        Renamed(
            ("faces",), "faces", lambda faces: {"find": "detect", "whole": "crop"}[faces],
            only=frozenset({"find", "whole"}),
        ),
    )  # fmt: skip

    images: Annotated[str, "URI"]
    """Folder or prefix (s3://, gs://, az://) of images, of archives of images (.tar, .tar.gz, .zip)
    or of Parquet files with a column of images; or one of these files; or a .txt, .csv or .parquet
    that lists images by uri (https:// too)."""
    output: Annotated[str, "URI"] = ""
    """Folder or prefix (s3://, gs://, az://) for the manifest."""
    exclude: Annotated[tuple[str, ...], "PATTERN ...", ADVANCED] = ()
    """Leave out what matches one of these patterns below the images: 'lost+found/*' '*.gif'. In
    them * stands for anything; one without a slash is also a name of any folder or file."""
    labels: Annotated[str | None, "FILE"] = None
    """File of labels: .csv, .tsv, .txt, .jsonl or .parquet with columns path, age (years or ranges
    such as 50-59), gender (words; codes need `gender_codes`) and optionally race and the box of a
    face; or a data set's own file of labels, or the folder of several."""
    label_format: LabelFormat = "auto"
    """How labels are written. utkface: in the names of the files. sidecar: in columns age, gender,
    race of Parquet with images, or in a .json, .txt or .cls of the image's name (WebDataset).
    table: in the file that `labels` names. adience, fairface, ...: as that data set's publishers
    write them (docs/datasets.md). none: there are no labels. auto: what the files look like."""
    gender_codes: Annotated[str | None, "CODE=GENDER,..."] = None
    """Meaning of codes in the gender column of the labels, such as 0=male,1=female (UTKFace) or
    0=female,1=male (IMDB-WIKI)."""
    split: Annotated[str, "SHARES|COLUMN"] = "0.6,0.2,0.2"
    """Shares of train, val and test (the content of an image decides its split), or the column of
    the labels file that names the split. split: the published splits of adience, appa-real and
    fairface."""
    seed: Annotated[int, "N", ADVANCED] = 0
    """Random seed of the splits; another one gives other splits."""
    hash: Annotated[Literal["content", "etag"], ADVANCED] = "content"
    """content: read every byte and find duplicates. etag: do not read the images."""
    faces: Literal["crop", "detect", "both"] = "crop"
    """crop: each image is one face crop. detect: detect and align the labelled face of each image
    (the one in the label's box, else the largest, if it has at least twice the area of the next).
    both: a row for each of the two, if the image shows one person."""
    detection: FaceLimits = dataclasses.field(default_factory=FaceLimits)

    def __post_init__(self) -> None:
        """Check that the options on labels fit together.

        Raises:
            UsageError: they do not.
        """
        form = self.label_format
        if self.labels is not None and form in ("none", "utkface", "sidecar"):
            raise UsageError(
                f"`label_format` {form} reads no file, and `labels` is {self.labels}: leave "
                "`labels` out, or give `label_format` table or the name of a data set"
            )
        if self.labels is None and form == "table":
            raise UsageError("`label_format` table reads a file: give it as `labels`")
        if self.gender_codes is not None and form in get_args(DatasetName):
            raise UsageError(
                f"`label_format` {form} defines its own codes of gender: leave `gender_codes` out"
            )
        if self.gender_codes is not None and self.labels is None and form != "sidecar":
            raise UsageError("`gender_codes` needs a labels file: give it as `labels`")

    @property
    def split_column(self) -> str | None:
        """The column of the labels file that names the split, if `split` is one."""
        return self.split if re.fullmatch(r"[^\W\d][^,]*", self.split) else None

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

        if self.split_column is not None:
            return SplitRule(seed=self.seed)
        try:
            train, val, test = (float(part) for part in self.split.split(","))
        except ValueError:
            raise UsageError(
                f"`split` {self.split}: give three shares such as 0.6,0.2,0.2"
            ) from None
        return SplitRule((train, val, test), self.seed)

    @property
    def codes(self) -> dict[str, str]:
        """What codes of gender mean.

        Raises:
            UsageError: `gender_codes` does not say so.
        """
        from pipelines.manifests.labels.names import parse_codes

        return parse_codes(self.gender_codes) if self.gender_codes is not None else {}

    @property
    def leave_out(self) -> Exclusion:
        """Which files are excluded.

        Raises:
            UsageError: a pattern is none.
        """
        return Exclusion(self.place, self.exclude)

    def identity(self) -> dict[str, Any]:
        """All that decides the manifest, as manifest.json has held it since 0.1.0."""
        form = self.label_format
        is_data_set = form in get_args(DatasetName)
        plain = {"sidecar": "beside"}.get(form, "auto" if is_data_set else form)
        return {
            "images": self.place,
            "labels": self.labels or plain,
            "hash": self.hash,
            "split": dataclasses.asdict(self.rule),
            "split_column": self.split_column,
            **self._detection(),
            **({"gender_codes": self.codes} if self.gender_codes is not None else {}),
            **({"labels_as": form} if is_data_set else {}),
            **({"exclude": sorted({*self.exclude})} if self.exclude else {}),
        }

    def _detection(self) -> dict[str, Any]:
        if self.faces == "crop":  # as before there were others
            return {}
        return {"faces": self.faces, "finding": {**dataclasses.asdict(self.detection)}}
