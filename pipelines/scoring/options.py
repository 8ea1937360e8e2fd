"""The options of a scoring run, declared once: for the command line, job.json and the code."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from model.backends.selection import parsed
from model.calibration import DEFAULT_COVERAGE
from model.errors import UsageError
from model.tta import Views
from pipelines import storage
from pipelines.configuration import ADVANCED, HIDDEN, Renamed
from pipelines.images.face_options import FaceLimits
from pipelines.images.guarded_decoder import DECODER, TIMEOUT_S
from pipelines.manifests.options import LABELS_RENAMED, LabelFormat
from pipelines.predictions import layout

if TYPE_CHECKING:  # pandas and the like, which a help text shall not wait for
    from pipelines.predictions.dataset import Partitioning


Faces = Literal["auto", "detect", "crop"]
OnExisting = Literal["continue", "update", "mirror", "retry", "retry-no-face", "new"]

# Names of the version before, as the command line and job.json of that version have them.
FACES_RENAMED = Renamed(
    ("faces",), "faces", lambda faces: {"find": "detect", "whole": "crop"}[faces],
    only=frozenset({"find", "whole"}),
)  # fmt: skip
COMPUTE_RENAMED = Renamed(
    ("engine", "precision"), "compute",
    lambda engine="auto", precision="auto": (
        "-".join(part for part in (engine, precision) if part != "auto") or "auto"
    ),
)  # fmt: skip
TTA_RENAMED = Renamed(("views",), "tta")


def _device(plan: str = "auto", use_gpu: bool = False) -> str:
    return "gpu" if use_gpu else {"fused": "cpu", "separate": "gpu"}.get(plan, "auto")


def _on_existing(
    incremental: bool = False,
    drop_deleted: bool = False,
    retry_quarantined: bool = False,
    retry_no_face: bool = False,
    new_version: bool = False,
) -> str:
    for value, chosen in (
        ("new", new_version), ("retry-no-face", retry_no_face), ("retry", retry_quarantined),
        ("mirror", drop_deleted), ("update", incremental),
    ):  # fmt: skip
        if chosen:
            return value
    return "continue"


@dataclasses.dataclass(frozen=True)
class Network:
    """How the network computes, and how its outputs become columns."""

    RENAMED: ClassVar = (COMPUTE_RENAMED, TTA_RENAMED)

    compute: str = "auto"
    """Precision (int8, bfloat16, float32), backend (openvino, tensorflow) or both, such as
    tensorflow-float32, the reference. auto: the fastest that the bundle has and that the CPUs of
    all workers support, or what an earlier run in the output used."""
    coverage: Annotated[float, "SHARE", ADVANCED] = DEFAULT_COVERAGE
    """Share of people whose true age should lie in the age interval, 0.5 to 0.99."""
    age_bins: Annotated[Literal["auto", "decades", "adience"], ADVANCED] = "auto"
    """Age groups 0-10, 11-20, ... or the eight Adience classes; auto: those of the network's own
    age-group head, else decades."""
    tta: Annotated[Views, ADVANCED] = 1
    """Test-time augmentation: average the outputs of 1 view (the image), 2 (and its mirror image,
    at half the speed) or 10 (five crops and their mirror images, only for networks that crop)."""
    age_distribution: Annotated[bool, ADVANCED] = False
    """Also write the probability of each age from 0 to 116 years: a column of 117 numbers of two
    bytes, only for networks that predict it."""

    def __post_init__(self) -> None:
        """Check `compute`.

        Raises:
            UsageError: it is no backend and no precision.
        """
        parsed(self.compute)


@dataclasses.dataclass(frozen=True)
class Resources:
    """Where the run computes, and how it is divided."""

    RENAMED: ClassVar = (Renamed(("plan", "use_gpu"), "device", _device, switches=("use_gpu",)),)

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """cpu: one worker on each core does all stages of a shard; gpu: CPUs decode and each GPU runs
    the network, even if an autoscaling cluster has no GPU yet; auto: gpu where the cluster has
    one, else cpu."""
    workers: int | None = None
    """Run at most this many workers, each on one core or one GPU; default: as many as fit."""
    shard_rows: Annotated[int | None, "N", ADVANCED] = None
    """Images in each output file; a killed run repeats at most the files in progress. Default: 512
    in the first files, up to 50,000 or 1 GiB of images in the last."""

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
    """When to give up an image or the whole run."""

    max_quarantine: Annotated[str | None, "SHARE"] = None
    """Stop the run, which can be continued, once more than this share of inputs is in quarantine,
    for example 5%; images without a face and files without an image's suffix do not count;
    default: never."""
    image_timeout_s: Annotated[float, "SECONDS", ADVANCED] = TIMEOUT_S
    """Quarantine an image if decoding it and detecting its faces takes longer than this."""
    store_timeout_s: Annotated[float, HIDDEN] = 180.0
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
class DataSet:
    """A second copy of the predictions for analysts, in OUTPUT/dataset."""

    RENAMED: ClassVar = (
        Renamed(("compact",), "partition_by", lambda compact: "none", switches=("compact",)),
    )

    partition_by: Annotated[str | None, "COLUMNS", ADVANCED] = None
    """Write the copy in files of about 128 MB, in Hive folders of these columns: gender, age_group
    or gender,age_group; none: without folders."""
    partition_regex: Annotated[str | None, "REGEX", ADVANCED] = None
    """Write the copy in Hive folders named by the groups of this regular expression (RE2) in each
    uri, for example '/(?P<camera>[^/]+)/[^/]+$'."""

    @property
    def partitioning(self) -> "Partitioning | None":
        """How to lay them out, or None.

        Raises:
            UsageError: a column cannot be a folder, or the expression is not RE2 with named groups.
        """
        if not (self.partition_by or self.partition_regex):
            return None
        from pipelines.predictions.dataset import Partitioning

        columns = "" if self.partition_by in (None, "none") else self.partition_by
        return Partitioning(tuple(filter(None, columns.split(","))), self.partition_regex)


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """What to score, with what, where."""

    SAVED_IN: ClassVar[str] = layout.JOB
    RENAMED: ClassVar = (
        FACES_RENAMED,
        Renamed(("keep_columns",), "passthrough"),
        Renamed(
            ("incremental", "drop_deleted", "retry_quarantined", "retry_no_face", "new_version"),
            "on_existing", _on_existing,
            switches=(
                "incremental", "drop_deleted", "retry_quarantined", "retry_no_face", "new_version",
            ),
        ),
    )  # fmt: skip

    images: Annotated[tuple[str, ...], "URI ..."] = ()
    """Folder or prefix (s3://, gs://, az://) of images, of archives of images (.tar, .tar.gz, .zip)
    or of Parquet files with a column of images; or one of these files; or a .txt, .csv or .parquet
    that lists images by uri (https:// too); or a few image files."""
    manifest: Annotated[str | None, "URI"] = None
    """Instead of images: output of jobs.ingest, a Parquet with a uri column, or the manifest.json
    of an Amazon S3 Inventory in Parquet."""
    output: Annotated[str | None, "URI"] = None
    """Folder or prefix (s3://, gs://, az://) for the predictions; without one, the predictions for
    a few images are printed."""
    bundle: Annotated[str | None, "URI"] = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    faces: Faces = "auto"
    """detect: every face of every image, aligned as in training; crop: each image is one aligned
    face; auto: crop if nearly all of a sample are that (detect, where predictions are printed)."""
    on_existing: OnExisting = "continue"
    """What to do where the output holds this run already. continue: score what is left. update:
    list the source again and score new and changed images. mirror: update, and remove the rows of
    deleted images. retry: score failed images again. retry-no-face: retry, and images without a
    face too. new: write to OUTPUT/v2, OUTPUT/v3, ... if the output holds another run."""
    dry_run: bool = False
    """Print the plan; start and write nothing."""
    passthrough: Annotated[str | None, "COLUMNS"] = None
    """Columns to copy into the predictions, such as id or id,camera: of the manifest, or of the
    Parquet files that hold the images."""
    exclude: Annotated[tuple[str, ...], "PATTERN ...", ADVANCED] = ()
    """Leave out what matches one of these patterns below the images: 'lost+found/*' '*.gif'. In
    them * stands for anything; one without a slash is also a name of any folder or file."""
    draw: Annotated[str | None, "FILE"] = None
    """Without an output: write the image with a box around each face and its prediction to this
    .jpg, .png or .webp."""
    detection: FaceLimits = dataclasses.field(default_factory=FaceLimits)
    network: Network = dataclasses.field(default_factory=Network)
    resources: Resources = dataclasses.field(default_factory=Resources)
    limits: Limits = dataclasses.field(default_factory=Limits)
    data_set: DataSet = dataclasses.field(default_factory=DataSet)

    @property
    def updates(self) -> bool:
        """Whether to list the source of an earlier run again."""
        return self.on_existing in ("update", "mirror")

    @property
    def retries(self) -> bool:
        """Whether to score again what failed in an earlier run."""
        return self.on_existing in ("retry", "retry-no-face")

    @property
    def retries_no_face(self) -> bool:
        """Whether images without a face count as failed."""
        return self.on_existing == "retry-no-face"

    @property
    def passed_through(self) -> tuple[str, ...]:
        """The names of `passthrough`.

        Raises:
            UsageError: one is a name of our own, or stands there twice.
        """
        from pipelines.predictions.schemas import require_free_names

        names = tuple(filter(None, (self.passthrough or "").split(",")))
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

    RENAMED: ClassVar = (FACES_RENAMED, COMPUTE_RENAMED, TTA_RENAMED, *LABELS_RENAMED)

    manifest: Annotated[str | None, "URI"] = None
    """Output of jobs.ingest, or a labelled Parquet."""
    images: Annotated[str | None, "URI"] = None
    """Instead of a manifest: images as jobs.ingest takes them, all used."""
    labels: Annotated[str | None, "FILE"] = None
    """With images: file of their labels, as jobs.ingest takes it."""
    label_format: LabelFormat = "auto"
    """With images: how the labels are written, as jobs.ingest takes it."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Split of the manifest to measure on."""
    bundle: Annotated[str | None, "URI"] = None
    """Folder or prefix of a bundle; default: the newest shipped one."""
    output: Annotated[str | None, "URI"] = None
    """Folder or prefix (s3://, gs://, az://) for metrics and predictions."""
    faces: Faces = "auto"
    """detect: faces are detected anew, as scoring does, and matched with labels as jobs.ingest
    does; crop: each image is one aligned face; auto: as the manifest has them."""
    compute: str = "auto"
    """Precision, backend or both, as jobs.score takes it; auto: the fastest, as in jobs.score."""
    age_bins: Annotated[Literal["auto", "decades", "adience"], ADVANCED] = "auto"
    """Age groups, as jobs.score takes them."""
    tta: Annotated[Views, ADVANCED] = 1
    """Views of each image whose outputs are averaged, as jobs.score takes them."""
    detection: FaceLimits = dataclasses.field(default_factory=FaceLimits)

    def scoring(self) -> ScoreOptions:
        """The options of the scoring run behind it.

        Raises:
            UsageError: there is no output, or not one source.
        """
        if (self.manifest is None) == (self.images is None):
            raise UsageError("give either `manifest` or `images`")
        if self.manifest is not None and (self.labels, self.label_format) != (None, "auto"):
            raise UsageError("`labels` and `label_format` go with `images`: a manifest has labels")
        network = Network(self.compute, age_bins=self.age_bins, tta=self.tta)
        options = ScoreOptions(
            output=self.output, network=network, faces=self.faces, detection=self.detection
        )
        return dataclasses.replace(options, output=options.place)
