"""The options of a scoring run, declared once: for the command line, job.json and the code."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from model.calibration import DEFAULT_COVERAGE
from model.engines.choosing import EngineName, Precision
from model.errors import UsageError
from model.views import Views
from pipelines import storage
from pipelines.configuration import HIDDEN
from pipelines.images.face_options import FaceLimits
from pipelines.images.guarded_decoder import DECODER, TIMEOUT_S
from pipelines.manifests.labels.datasets import Name as DatasetName
from pipelines.predictions import layout

if TYPE_CHECKING:  # pandas and the like, which a help text shall not wait for
    from pipelines.predictions.dataset import Partitioning


@dataclasses.dataclass(frozen=True)
class Answers:
    """How the network computes, and how its outputs become columns."""

    engine: Literal["auto"] | EngineName = "auto"
    """tensorflow, the reference; openvino, faster on CPUs; auto: the fastest that the bundle
    carries and all workers can run, tensorflow beside GPUs, and in a resumed run what that run
    took."""
    precision: Literal["auto"] | Precision = "auto"
    """Precision of the network's body; auto: the fastest that the bundle carries and the CPUs of
    all workers have in hardware, int8 before bfloat16 before float32."""
    coverage: Annotated[float, "SHARE"] = DEFAULT_COVERAGE
    """Share of people whose true age the interval is to hold, 0.5 to 0.99."""
    age_bins: Literal["auto", "decades", "adience"] = "auto"
    """Age groups 0-10, 11-20, … or the eight Adience classes; auto: those of the network's own
    age-group head, else decades."""
    views: Views = 1
    """Views of each image whose outputs are averaged: 1, the image; 2, with its mirror image, at
    half the speed; 10, five crops and their mirror images, only for networks that crop."""
    age_distribution: bool = False
    """Write the column `age_distribution` too: the probability of each age from 0 to 116 years, 117
    numbers of two bytes; only for networks that say it. A picture answered in print has none."""


@dataclasses.dataclass(frozen=True)
class Resources:
    """Where the run computes, and how it is divided."""

    workers: int | None = None
    """Most workers to run, each on one core or one GPU; default: as many as the cluster holds."""
    plan: Literal["auto", "fused", "separate"] = "auto"
    """fused: one process on each core does all stages of a shard; separate: CPUs decode and other
    workers run the network; auto: separate where the cluster has GPUs, else fused."""
    use_gpu: bool = False
    """Run the network on GPUs, one for each worker, even if an autoscaling cluster has none yet."""
    shard_rows: int | None = None
    """Pictures in each output file, which is also what a killed run repeats; default: 512 in the
    first files, up to 50,000 or 1 GiB of pictures in the last."""

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            UsageError: one is below 1.
        """
        for name in ("workers", "shard_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}` {value} must be at least 1")


@dataclasses.dataclass(frozen=True)
class Limits:
    """When an image or the whole run is given up."""

    max_quarantine: Annotated[str | None, "SHARE"] = None
    """Stop the run, which can be continued, once more than this share of inputs is in quarantine,
    for example 5%; pictures without a face and files that are no pictures by their names do not
    count; default: never."""
    image_timeout_s: Annotated[float, "SECONDS"] = TIMEOUT_S
    """Seconds that decoding one image and finding its faces may take; one that takes longer goes
    to quarantine."""
    patience_s: Annotated[float, HIDDEN] = 180.0
    """Seconds that a worker repeats what fails in the store, beyond each request's own retries."""
    decoder: Annotated[str, HIDDEN] = DECODER
    """`module:function` with which workers decode."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: the share is none, or the time is not above 0.
        """
        if not 0 <= (self.quarantine_share or 0.0) < 1:
            raise UsageError(
                f"`max_quarantine` {self.max_quarantine} must be a share, such as 5% or 0.05"
            )
        if not self.image_timeout_s > 0:
            raise UsageError(f"`image_timeout_s` {self.image_timeout_s:g} must be above 0")

    @property
    def quarantine_share(self) -> float | None:
        """`max_quarantine` as a share, 0-1; -1 where it is none."""
        text = self.max_quarantine
        if text is None:
            return None
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            return -1.0


@dataclasses.dataclass(frozen=True)
class Rerun:
    """What to do where the output holds a run already."""

    incremental: bool = False
    """List the source again, score what is new or changed, and report what is gone."""
    drop_deleted: bool = False
    """With incremental: remove the rows of what is gone, and its names; their files are scored
    again."""
    retry_quarantined: bool = False
    """Score again what failed in an earlier run of this output, for example after a store was
    repaired; the files that hold such pictures are scored again as a whole."""
    retry_no_face: bool = False
    """With `retry_quarantined`: also pictures in which no face was found."""
    new_version: bool = False
    """Where `output` holds another run, write to OUTPUT/v2, OUTPUT/v3, … instead of refusing."""
    dry_run: bool = False
    """Print what would be done, and start and write nothing."""

    def __post_init__(self) -> None:
        """Check that they fit together.

        Raises:
            UsageError: something shall be dropped that was not looked for, or retried without.
        """
        if self.drop_deleted and not self.incremental:
            raise UsageError("`drop_deleted` needs `incremental`, which finds what is gone")
        if self.retry_no_face and not self.retry_quarantined:
            raise UsageError("`retry_no_face` needs `retry_quarantined`, which scores again")


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A second copy of the predictions, for analysts, in OUTPUT/dataset."""

    compact: bool = False
    """Write it in files of about 128 MB."""
    partition_by: Annotated[str | None, "COLUMNS"] = None
    """Write it in Hive folders of these columns: gender, age_group or gender,age_group."""
    partition_regex: Annotated[str | None, "REGEX"] = None
    """Write it in Hive folders named by the groups of this expression (RE2) in each uri, for
    example '/(?P<camera>[^/]+)/[^/]+$'."""

    @property
    def partitioning(self) -> "Partitioning | None":
        """How to lay them out, or None.

        Raises:
            UsageError: a column cannot be a folder, or the expression is not RE2 with named groups.
        """
        if not (self.compact or self.partition_by or self.partition_regex):
            return None
        from pipelines.predictions.dataset import Partitioning

        by = tuple(filter(None, (self.partition_by or "").split(",")))
        return Partitioning(by, self.partition_regex)


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What to score, with what, where."""

    SAVED_IN: ClassVar[str] = layout.JOB

    images: Annotated[tuple[str, ...], "URI ..."] = ()
    """Folder or prefix (s3://, gs://, az://) of images, of archives of images (.tar, .tar.gz, .zip)
    or of Parquet files with a column of images; or one of these files; or a .txt, .csv or .parquet
    that lists images by uri (https:// too); or a few picture files."""
    manifest: Annotated[str | None, "URI"] = None
    """Instead of images: output of jobs.ingest, a Parquet with a uri column, or the manifest.json
    of an Amazon S3 Inventory in Parquet."""
    keep_columns: Annotated[str | None, "COLUMNS"] = None
    """Columns of the manifest, or beside the pictures in Parquet, that go into the predictions as
    they are: id or id,camera."""
    bundle: Annotated[str | None, "URI"] = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    output: Annotated[str | None, "URI"] = None
    """Folder or prefix (s3://, gs://, az://) for the predictions; without one, a few pictures are
    answered in print."""
    draw: Annotated[str | None, "FILE"] = None
    """Without an output: write the picture with a box around each face, and what was answered, to
    this .jpg, .png or .webp."""
    faces: Literal["auto", "find", "whole"] = "auto"
    """find: every face of every picture, aligned as in training; whole: each picture as one
    aligned face; auto: looks at a sample and takes whole only if nearly all are that (find, where
    a few pictures are answered in print)."""
    finding: FaceLimits = dataclasses.field(default_factory=FaceLimits)
    answers: Answers = dataclasses.field(default_factory=Answers)
    resources: Resources = dataclasses.field(default_factory=Resources)
    limits: Limits = dataclasses.field(default_factory=Limits)
    rerun: Rerun = dataclasses.field(default_factory=Rerun)
    data_set: DataSet = dataclasses.field(default_factory=DataSet)

    @property
    def kept(self) -> tuple[str, ...]:
        """The names of `keep_columns`.

        Raises:
            UsageError: one is a name of our own, or stands there twice.
        """
        from pipelines.predictions.schemas import require_free_names

        names = tuple(filter(None, (self.keep_columns or "").split(",")))
        require_free_names(names)
        return names

    @property
    def place(self) -> str:
        """The normalized output.

        Raises:
            UsageError: there is none.
        """
        if self.output is None:
            raise UsageError("`output` is missing: give a folder or a prefix (s3://, gs://, az://)")
        return storage.normalize(self.output)


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What to measure, with what, where."""

    manifest: Annotated[str | None, "URI"] = None
    """Output of jobs.ingest, or a labelled Parquet."""
    bundle: Annotated[str | None, "URI"] = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    output: Annotated[str | None, "URI"] = None
    """Folder or prefix (s3://, gs://, az://) for metrics and predictions."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Split of the manifest to measure on."""
    images: Annotated[str | None, "URI"] = None
    """Instead of a manifest: images as jobs.ingest takes them, with labels in their names, beside
    them or in `labels`, all used."""
    labels: str = "auto"
    """With images: where their labels are, as jobs.ingest has it."""
    labels_as: DatasetName | None = None
    """With images: read labels as this data set's publishers write them, as jobs.ingest does."""
    faces: Literal["auto", "find", "whole"] = "auto"
    """find: faces are found anew, as scoring does, and labels joined to them by the rule of
    jobs.ingest; whole: each picture is one aligned face; auto: as the manifest has them."""
    finding: FaceLimits = dataclasses.field(default_factory=FaceLimits)
    engine: Literal["auto"] | EngineName = "auto"
    """tensorflow, the reference; openvino, faster on CPUs; auto: the faster that there is."""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """Precision of the network's body."""
    age_bins: Literal["auto", "decades", "adience"] = "auto"
    """Age groups 0-10, 11-20, … or the eight Adience classes; auto: those of the network's own
    age-group head, else decades."""
    views: Views = 1
    """Views of each image whose outputs are averaged: 1, the image; 2, with its mirror image; 10,
    five crops and their mirror images, only for networks that crop."""

    def scoring(self) -> ScoreOptions:
        """The options of the scoring run behind it.

        Raises:
            UsageError: there is no output, or not one source.
        """
        if (self.manifest is None) == (self.images is None):
            raise UsageError("give either `manifest` or `images`")
        if self.manifest is not None and (self.labels, self.labels_as) != ("auto", None):
            raise UsageError("`labels` and `labels_as` go with `images`: a manifest has its labels")
        answers = Answers(self.engine, self.precision, age_bins=self.age_bins, views=self.views)
        options = ScoreOptions(
            output=self.output, answers=answers, faces=self.faces, finding=self.finding
        )
        return dataclasses.replace(options, output=options.place)
